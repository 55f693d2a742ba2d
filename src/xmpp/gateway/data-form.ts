import { childrenOf, childOf, textOf, type XmlElement } from '../../cpim/xml.ts';

/** XEP-0004. */
export const DATA_FORM_NAMESPACE = 'jabber:x:data';

/** One field that is asked for. */
export type FormField = {
  readonly name: string;
  readonly type: 'text-single' | 'jid-single' | 'list-single' | 'fixed' | 'hidden';
  readonly label?: string;
  readonly isRequired?: boolean;
  readonly value?: string;
  readonly options?: ReadonlyArray<{ readonly value: string; readonly label: string }>;
};

export type Form = {
  readonly title: string;
  readonly instructions?: string;
  readonly fields: readonly FormField[];
};

/** What is filled in at once, and how long a text of it may be; more is no honest answer. */
const FIELDS_MAX = 50;
const VALUE_MAX = 2_000;

export function formElement({ title, instructions, fields }: Form): XmlElement {
  return {
    name: 'x',
    attrs: { xmlns: DATA_FORM_NAMESPACE, type: 'form' },
    children: [
      element('title', [title]),
      ...(instructions === undefined ? [] : [element('instructions', [instructions])]),
      ...fields.map(fieldElement),
    ],
  };
}

/** A form that only tells something: one line each. */
export function resultElement(title: string, lines: readonly string[]): XmlElement {
  return {
    name: 'x',
    attrs: { xmlns: DATA_FORM_NAMESPACE, type: 'result' },
    children: [
      element('title', [title]),
      {
        name: 'field',
        attrs: { var: 'text', type: 'text-multi' },
        children: lines.map((line) => element('value', [line])),
      },
    ],
  };
}

/**
 * What somebody has filled in: the first value of each field by its name.
 *
 * @param parent of the form
 * @returns undefined where there is no form of type `submit`, or one that is too large
 */
export function readSubmitted(parent: XmlElement): ReadonlyMap<string, string> | undefined {
  const form = childOf(parent, 'x', DATA_FORM_NAMESPACE);
  if (form?.attrs['type'] !== 'submit') return undefined;
  const fields = childrenOf(form, 'field');
  if (fields.length > FIELDS_MAX) return undefined;
  const values = new Map<string, string>();
  for (const field of fields) {
    const value = childOf(field, 'value');
    const name = field.attrs['var'];
    if (name === undefined || value === undefined || values.has(name)) continue;
    const text = textOf(value).trim();
    if (text.length > VALUE_MAX) return undefined;
    if (text !== '') values.set(name, text);
  }
  return values;
}

function fieldElement({ name, type, label, isRequired, value, options = [] }: FormField): XmlElement {
  return {
    name: 'field',
    attrs: { var: name, type, ...(label === undefined ? {} : { label }) },
    children: [
      ...(isRequired === true ? [element('required', [])] : []),
      ...(value === undefined ? [] : [element('value', [value])]),
      ...options.map((option) => ({
        name: 'option',
        attrs: { label: option.label },
        children: [element('value', [option.value])],
      })),
    ],
  };
}

function element(name: string, children: XmlElement['children']): XmlElement {
  return { name, attrs: {}, children };
}
