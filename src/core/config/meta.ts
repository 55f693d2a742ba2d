/** How keys of the configuration's schema are described: for its faults, its example and its reference. */
import * as z from 'zod';

/** What a key says about itself beside its type, in words for the operator. */
type Meta = {
  readonly about: string;
  /** The value in `config/example.yaml`; a required key has one. */
  readonly sample?: unknown;
  /** Fits only where another choice is made than that of `config/example.yaml`: a comment there in any case. */
  readonly commented?: true;
  /** Stands in `config/example.yaml` although it need not be given. */
  readonly shown?: true;
};

export const meta = ({ about, ...rest }: Meta): Record<string, unknown> => ({ description: about, ...rest });

/** Text in a form that `holds` knows; `expects` is how the fault names the form. */
export const text = (expects: string, holds: (value: string) => boolean): z.ZodString =>
  z.string().refine(holds, { error: expects }).meta({ form: expects });

export const seconds = (min: number, max = 366 * 86_400): z.ZodNumber => z.int().min(min).max(max);

/** Bounds of how long something lasts, seconds. @param asks what a wish comes in, with its article. */
export const expires = (about: string, asks: string) =>
  z
    .strictObject({
      min: seconds(1)
        .default(60)
        .meta(meta({ about: 'Shorter than this is refused with 423. Seconds.' })),
      default: seconds(1)
        .default(3_600)
        .meta(meta({ about: `For ${asks} that names no time. Seconds.` })),
      max: seconds(1)
        .default(86_400)
        .meta(meta({ about: 'Longer than this is shortened to it. Seconds.' })),
    })
    .prefault({})
    .meta(meta({ about }));
