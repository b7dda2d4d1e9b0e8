// Makes the component: the source, one file, and the interface that it is for. package.json holds the
// tool's own tool, jco, at a version that needs no bundler and none of its binaries.
import { readFile, writeFile } from "node:fs/promises";
import { componentize } from "@bytecodealliance/componentize-js";

const { component } = await componentize({
  sourcePath: "src/plugin.js",
  witPath: "wit",
  worldName: "processor",
  // Requests go by the call's client, where the host's policy looks at them. The rest of what the
  // runtime imports is inert: clocks stand still, and what is printed goes to the run's log.
  disableFeatures: ["http", "fetch-event"],
});
// `docket plugins build` says where it wants it.
await writeFile(process.env.DOCKET_COMPONENT ?? "plugin.wasm", component);
