/** Writes config/example.yaml and docs/config.md from the schema of the configuration. */
import { writeFileSync } from 'node:fs';
import { configReference, exampleConfig } from '../src/core/config/reference.ts';

writeFileSync(new URL('../config/example.yaml', import.meta.url), exampleConfig());
writeFileSync(new URL('../docs/config.md', import.meta.url), configReference());
