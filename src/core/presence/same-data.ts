/** Whether two values of plain data say the same, in whatever order their keys stand. */
export function isSameData(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a)) {
    return Array.isArray(b) && a.length === b.length && a.every((item, at) => isSameData(item, b[at]));
  }
  if (Array.isArray(b)) return false;
  const ofA = Object.entries(a);
  const ofB = b as Record<string, unknown>;
  return (
    ofA.length === Object.keys(b).length &&
    ofA.every(([key, value]) => Object.hasOwn(ofB, key) && isSameData(value, ofB[key]))
  );
}
