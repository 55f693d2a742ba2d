import type { RpidValue, Show } from '../../cpim/presence/document.ts';

/** What an RPID activity (RFC 4480, section 3.2) is as `show`; those that say nothing about availability are not here. */
const SHOW_OF_ACTIVITY: ReadonlyMap<string, Show> = new Map<string, Show>([
  ['appointment', 'dnd'],
  ['busy', 'dnd'],
  ['meeting', 'dnd'],
  ['on-the-phone', 'dnd'],
  ['performance', 'dnd'],
  ['presentation', 'dnd'],
  ['steering', 'dnd'],
  ['away', 'away'],
  ['breakfast', 'away'],
  ['dinner', 'away'],
  ['in-transit', 'away'],
  ['lunch', 'away'],
  ['meal', 'away'],
  ['playing', 'away'],
  ['shopping', 'away'],
  ['spectator', 'away'],
  ['travel', 'away'],
  ['tv', 'away'],
  ['holiday', 'xa'],
  ['permanent-absence', 'xa'],
  ['sleeping', 'xa'],
  ['vacation', 'xa'],
  ['worship', 'xa'],
]);

/** Whoever does several things is least available by the first of these. */
const STRONGEST_FIRST: readonly Show[] = ['dnd', 'xa', 'away'];

export function showFromActivities(activities: readonly RpidValue[]): Show | undefined {
  const shows = new Set(activities.map(({ name }) => SHOW_OF_ACTIVITY.get(name)));
  return STRONGEST_FIRST.find((show) => shows.has(show));
}

/** The activity that says the same to watchers who know no `show`; `chat` has none. */
export function activityFromShow(show: Show | undefined): string | undefined {
  if (show === 'dnd') return 'busy';
  return show === 'away' || show === 'xa' ? 'away' : undefined;
}
