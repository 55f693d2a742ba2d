import * as z from 'zod';
import { expires, meta, seconds } from './meta.ts';
import { RULE_ACTIONS } from '../presence/rules.ts';

const count = (fallback: number, max: number): z.ZodDefault<z.ZodNumber> => z.int().min(1).max(max).default(fallback);

/** The section `presence` of the configuration. */
export const presence = z.strictObject({
  default: z
    .enum(RULE_ACTIONS)
    .default('confirm')
    .meta(
      meta({
        about:
          'What becomes of a watcher for whom the user has no rule: `confirm` asks the user, `polite-block` shows him somebody who is never there.',
      }),
    ),
  notifyIntervalSeconds: seconds(0, 3_600)
    .default(5)
    .meta(
      meta({
        about: 'One watcher is told of changes of one user no more often than this; 0 switches the limit off. Seconds.',
      }),
    ),
  expires: expires('How long subscriptions and publications last without a refresh.', 'a SUBSCRIBE or PUBLISH'),
  composition: z
    .strictObject({
      registrations: z
        .enum(['fallback', 'always', 'never'])
        .default('fallback')
        .meta(
          meta({
            about:
              'Whether a registered phone counts as present: `fallback` for users who publish nothing, `always` beside what they publish, or `never`.',
          }),
        ),
      staleAfterSeconds: seconds(0)
        .default(86_400)
        .meta(
          meta({ about: 'What has not changed for so long is shown as out of date; 0: nothing ever is. Seconds.' }),
        ),
    })
    .prefault({})
    .meta(meta({ about: "How one picture is made of what a user's devices say." })),
  limits: z
    .strictObject({
      publicationsPerUser: count(10, 1_000).meta(meta({ about: 'Publications one user may have at once.' })),
      documentBytes: z
        .int()
        .min(4_096)
        .max(1024 * 1024)
        .default(65_536)
        .meta(meta({ about: 'Largest presence document taken; above it 413.' })),
      subscriptionsPerWatcher: count(1_000, 1_000_000).meta(meta({ about: 'Subscriptions of one watcher.' })),
      watchersPerUser: count(50_000, 1_000_000).meta(meta({ about: 'Subscriptions to one user.' })),
      pendingPerUser: count(1_000, 1_000_000).meta(
        meta({ about: 'Of these, how many may wait for the user to decide.' }),
      ),
      subscriptions: count(1_000_000, 100_000_000).meta(meta({ about: 'Subscriptions in total.' })),
    })
    .prefault({})
    .meta(meta({ about: 'Bounds; what is above them is refused.' })),
  waitingDays: z
    .int()
    .min(1)
    .max(3_650)
    .default(30)
    .meta(meta({ about: 'How long a request to watch that the user does not decide is kept. Days.' })),
});
