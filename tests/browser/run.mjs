// Run a Python program in Pyodide under Node: node run.mjs PYODIDE PROGRAM FOLDER WHEEL...
// FOLDER is the program's working folder; a line "# packages: a b" loads more of Pyodide's packages.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [distribution, program, folder, ...wheels] = process.argv.slice(2);

async function main() {
  const { loadPyodide } = await import(pathToFileURL(join(distribution, "pyodide.mjs")));
  const python = await loadPyodide({ indexURL: distribution + "/" });
  const code = readFileSync(program, "utf8");
  const more = code.match(/^# packages: (.*)$/m)?.[1].split(" ") ?? [];
  await python.loadPackage(["numpy", ...more], { messageCallback: () => {} });
  const extractDir = python.runPython("__import__('sysconfig').get_path('purelib')");
  for (const wheel of wheels) {
    python.unpackArchive(new Uint8Array(readFileSync(wheel)), "wheel", { extractDir });
  }
  python.FS.mkdirTree("/work");
  python.FS.mount(python.FS.filesystems.NODEFS, { root: folder }, "/work");
  python.runPython("import os; os.chdir('/work')");
  await python.runPythonAsync(code);
}

main().catch((error) => {
  process.stderr.write(String(error.message ?? error).slice(-4000) + "\n"); // Node adds its own source
  process.exitCode = 1;
});
