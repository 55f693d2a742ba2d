throw new Error('not built: msgpackr falls back to JavaScript');
