// Makes the compiled entry point a command: npm links bin files and expects them to be executable.
import { chmodSync } from 'node:fs';

chmodSync(new URL('../dist/main.js', import.meta.url), 0o755);
