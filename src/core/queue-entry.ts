import { addressKey } from '../cpim/address.ts';
import type { Operation } from '../cpim/operation.ts';
import { onlyDeviceOf } from './devices.ts';
import type { HopId, QueueEntry } from './ports.ts';

/**
 * An operation as the queue holds it: owned by who sends it, in the lane of what he sends to the same recipient. A device
 * that alone may have a message waits in a lane of its own.
 */
export function queueEntryOf(operation: Operation, hop: HopId, expiresAtMs: number): QueueEntry {
  const { id, source, destination } = operation;
  const owner = addressKey(source.address);
  const device = onlyDeviceOf(operation);
  const lane = `${owner}\n${addressKey(destination.address)}${device === undefined ? '' : `/${device.toLowerCase()}`}`;
  return { id, lane, hop, owner, expiresAtMs, operation };
}
