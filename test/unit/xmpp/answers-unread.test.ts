import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import { AnswersUnread } from '../../../src/xmpp/answers-unread.ts';

const ANSWER = 'a'.repeat(1_000);

/** A socket whose far side takes a chunk when it is told to. */
class SlowSocket extends Duplex {
  readonly #taken: Array<() => void> = [];

  override _read(): void {
    // There is always something.
  }

  override _write(_chunk: unknown, _encoding: string, done: () => void): void {
    this.#taken.push(done);
  }

  /** @returns once that many are taken */
  async hasTaken(count: number): Promise<void> {
    for (let times = 0; times < count; times += 1) {
      this.#taken.shift()?.();
      await new Promise((resume) => setImmediate(resume));
    }
  }
}

function reading(): { socket: SlowSocket; answers: AnswersUnread } {
  const socket = new SlowSocket();
  socket.resume();
  return { socket, answers: new AnswersUnread(socket as unknown as Socket) };
}

test('answers: who reads none of them is read from no more, until half of them are gone', async () => {
  const { socket, answers } = reading();
  for (let times = 0; times < 65; times += 1) answers.write(ANSWER);
  assert.equal(socket.isPaused(), false);
  answers.write(ANSWER);
  assert.equal(socket.isPaused(), true);
  await socket.hasTaken(20);
  assert.equal(socket.isPaused(), true);
  await socket.hasTaken(20);
  assert.equal(socket.isPaused(), false);
});

test('answers: whoever wants to wait waits all the same, and does not read on before the far side does', async () => {
  const { socket, answers } = reading();
  for (let times = 0; times < 70; times += 1) answers.write(ANSWER);
  answers.pause();
  answers.resume();
  assert.equal(socket.isPaused(), true);
  answers.pause();
  await socket.hasTaken(70);
  assert.equal(socket.isPaused(), true);
  answers.resume();
  assert.equal(socket.isPaused(), false);
});

test('answers: on another socket nothing is owed', async () => {
  const { socket, answers } = reading();
  for (let times = 0; times < 70; times += 1) answers.write(ANSWER);
  const other = new SlowSocket();
  other.resume();
  answers.goOnWith(other as unknown as Socket);
  for (let times = 0; times < 65; times += 1) answers.write(ANSWER);
  await socket.hasTaken(70);
  assert.equal(other.isPaused(), false);
  answers.write(ANSWER);
  assert.equal(other.isPaused(), true);
});
