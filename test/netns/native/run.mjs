// usage: node run.mjs FILE TITLE: one scenario of a file here, in whatever namespaces this process was started in.
const [file, title] = process.argv.slice(2);
const { scenarios } = await import(new URL(file, import.meta.url));
await scenarios[title]();
