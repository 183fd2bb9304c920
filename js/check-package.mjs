/** Run by npm before it packs: the models must be there, as they are built and not in the repository. */
import { access } from "node:fs/promises";
import { SHIPPED } from "./lib/models.js";

for (const { name } of SHIPPED) {
  await access(new URL(`models/${name}.model`, import.meta.url)).catch(() => {
    console.error(`models/${name}.model is missing: run "python js/build.py" first`);
    process.exit(1);
  });
}
