/** XEP-0050. */
export const COMMANDS_NAMESPACE = 'http://jabber.org/protocol/commands';
