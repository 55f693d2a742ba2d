import type { TestProcess } from './process.ts';

/** A SIP account as a phone wants it. */
export type PhoneAccount = {
  readonly user: string;
  readonly domain: string;
  readonly password: string;
  /** Loopback port of the registrar, which is the outbound proxy too. */
  readonly port: number;
  readonly transport: 'udp' | 'tcp';
  readonly folder: string;
};

export type PhoneMessage = {
  /** As the phone shows it. */
  readonly from: string;
  readonly text: string;
};

/** A real SIP phone, registered. */
export interface Phone {
  readonly process: TestProcess;
  /** Sends a text and waits for the outcome the phone reports: whether the message was taken. */
  message(to: string, text: string): Promise<boolean>;
  messages(): readonly PhoneMessage[];
  untilMessage(suits: (message: PhoneMessage) => boolean, withinMs?: number): Promise<PhoneMessage>;
  /** Unregisters and ends. */
  stop(): Promise<void>;
}

/** A real phone that shows the presence of others, and publishes its own. */
export interface WatchingPhone extends Phone {
  /** What it has shown of this SIP URI, oldest first: in its own words, or the basic status of what it was told. */
  shown(uri: string): readonly string[];
  /** Resolves when the newest it shows of somebody is this. */
  untilShown(uri: string, what: string, withinMs?: number): Promise<void>;
}
