/** The scripted XMPP server is part of the demo; tests use the same one. */
export * from '../../src/demo/component-server.ts';
