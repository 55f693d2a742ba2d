/** The `registration` section of the configuration. */
import * as z from 'zod';
import { addressBlocks } from './kinds.ts';
import { expires, meta, seconds, text } from './meta.ts';
import { isLooseRoute } from './values.ts';

export const registration = z.strictObject({
  expires: expires('How long a contact stays registered.', 'a REGISTER'),
  contactsMax: z
    .int()
    .min(1)
    .max(1_000)
    .default(10)
    .meta(meta({ about: 'Contacts one user may have at once; each flow of a phone is one.' })),
  flowTimerSeconds: seconds(20, 3_600)
    .optional()
    .meta(
      meta({
        about:
          'Phones that keep a connection open for us (RFC 5626) are told to say something over it at least this often; one that does not has its connection closed, so that it is known at once that nothing reaches it. Absent: as often as they like.',
        sample: 120,
        commented: true,
      }),
    ),
  serviceRoute: z
    .array(text('a SIP URI without user part and with lr, sip:edge.example;lr', isLooseRoute))
    .max(8)
    .default([])
    .meta(
      meta({
        about: 'The proxies that phones are told to send their requests through (RFC 3608), the first one first.',
        sample: ['sip:edge.sip.example;lr'],
        commented: true,
      }),
    ),
  edges: addressBlocks.default([]).meta(
    meta({
      about:
        'IP addresses of proxies between phones and this server whose Path (RFC 3327) is taken whatever it names; that of others must name the address it comes from.',
      sample: ['192.0.2.20'],
      commented: true,
    }),
  ),
});
