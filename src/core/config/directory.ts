import * as z from 'zod';
import { addressFrom } from '../../cpim/address.ts';
import { meta, text } from './meta.ts';

/** The section `directory` of the configuration. */
export const directory = z.strictObject({
  names: z
    .enum(['watchers', 'public'])
    .default('watchers')
    .meta(
      meta({
        about:
          'Who learns what a user is called by asking for his vCard: those who may see his presence, or everybody who may reach him. All else of it is for watchers in any case.',
      }),
    ),
  software: z
    .boolean()
    .default(true)
    .meta(meta({ about: 'Whether those who may see his presence learn which software the phone of a user is.' })),
  avatarBytes: z
    .int()
    .min(1_024)
    .max(98_304)
    .default(65_536)
    .meta(meta({ about: 'Largest picture of a user; pictures are held in memory. Bytes.' })),
});

const commandsOn = z.strictObject({
  user: text(
    'the part of an address before the @',
    (value) => !value.includes('@') && addressFrom(value, 'sip.example') !== undefined,
  )
    .default('interpres')
    .meta(
      meta({
        about:
          'The address, in each domain of ours, to which users write commands (`help`): this name before the @. No user may have it.',
      }),
    ),
});

/** The section `commands` of the configuration. */
export const commands = z
  .union([z.literal('off'), commandsOn])
  .prefault({})
  .meta(
    meta({
      about:
        'Commands for users: as messages to the domain or to this address, and as ad-hoc commands of XMPP clients; `off`: none.',
    }),
  );
