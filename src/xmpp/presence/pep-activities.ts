/** One activity of XEP-0108. */
export type XmppActivity = readonly [general: string, specific?: string];

/**
 * RPID activities (RFC 4480, section 3.2) as those of XEP-0108, by its section 4 where that has a row. `away` and `busy`
 * are no activities there but a `show`; `permanent-absence`, `looking-for-work` and `performance` have no counterpart.
 */
export const ACTIVITY_FROM_RPID: ReadonlyMap<string, XmppActivity> = new Map<string, XmppActivity>([
  ['appointment', ['having_appointment']],
  ['breakfast', ['eating', 'having_breakfast']],
  ['dinner', ['eating', 'having_dinner']],
  ['holiday', ['inactive', 'scheduled_holiday']],
  ['in-transit', ['traveling']],
  // RFC 4480 describes it, and its schema does not have it.
  ['lunch', ['eating', 'having_lunch']],
  ['meal', ['eating']],
  ['meeting', ['working', 'in_a_meeting']],
  ['on-the-phone', ['talking', 'on_the_phone']],
  ['playing', ['relaxing']],
  ['presentation', ['working', 'other']],
  ['shopping', ['relaxing', 'shopping']],
  ['sleeping', ['inactive', 'sleeping']],
  ['spectator', ['relaxing', 'other']],
  ['steering', ['traveling', 'driving']],
  ['travel', ['traveling', 'on_a_trip']],
  ['tv', ['relaxing', 'watching_tv']],
  ['vacation', ['inactive', 'on_vacation']],
  ['working', ['working']],
  ['worship', ['inactive', 'praying']],
]);

/** The way back, `general/specific` and `general`; what is not here is `other` with its name as text. */
export const RPID_FROM_ACTIVITY: ReadonlyMap<string, string> = new Map([
  ['eating', 'meal'],
  ['eating/having_breakfast', 'breakfast'],
  ['eating/having_dinner', 'dinner'],
  // The schema of RFC 4480 has no lunch.
  ['eating/having_lunch', 'meal'],
  ['having_appointment', 'appointment'],
  ['inactive/day_off', 'holiday'],
  ['inactive/on_vacation', 'vacation'],
  ['inactive/praying', 'worship'],
  ['inactive/scheduled_holiday', 'holiday'],
  ['inactive/sleeping', 'sleeping'],
  ['relaxing', 'playing'],
  ['relaxing/gaming', 'playing'],
  ['relaxing/shopping', 'shopping'],
  ['relaxing/watching_tv', 'tv'],
  ['exercising', 'playing'],
  ['exercising/playing_sports', 'playing'],
  ['talking/on_the_phone', 'on-the-phone'],
  ['talking/on_video_phone', 'on-the-phone'],
  ['traveling', 'in-transit'],
  ['traveling/commuting', 'in-transit'],
  ['traveling/driving', 'steering'],
  ['traveling/in_a_car', 'in-transit'],
  ['traveling/on_a_bus', 'in-transit'],
  ['traveling/on_a_plane', 'in-transit'],
  ['traveling/on_a_train', 'in-transit'],
  ['traveling/on_a_trip', 'travel'],
  ['undefined', 'unknown'],
  ['working', 'working'],
  ['working/in_a_meeting', 'meeting'],
]);

/** What XEP-0108, section 3 has as general activities. */
export const GENERAL_ACTIVITIES: ReadonlySet<string> = new Set([
  'doing_chores', 'drinking', 'eating', 'exercising', 'grooming', 'having_appointment', 'inactive', 'relaxing',
  'talking', 'traveling', 'undefined', 'working',
]); // prettier-ignore
