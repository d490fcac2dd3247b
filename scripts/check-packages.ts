/**
 * `npm run check:packages`: packs each published package as `npm publish` would, has publint and attw look at the tarball, and
 * imports every entry point of the packed files from plain JavaScript. Needs `npm run build` first, and no network; with
 * `-- --nodes 22,26` the last part runs on those versions of Node as well, which npm then downloads.
 */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';

import { capture, PUBLISHED_PACKAGES, ROOT, run } from './run.ts';

interface Manifest {
  readonly name: string;
  readonly exports: Readonly<Record<string, unknown>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

interface Packed {
  readonly filename: string;
  readonly files: readonly { readonly path: string }[];
}

/** Packed paths that a user of the package has no use for. */
const UNWANTED = /\.test\.|(^|\/)test-[^/]*$|\.tsbuildinfo$/;

const { values } = parseArgs({ options: { nodes: { type: 'string', default: '' } } });
const otherNodes = values.nodes.split(',').filter((version) => version !== '');

const work = mkdtempSync(join(tmpdir(), 'oversync-packages-'));
try {
  const manifests = PUBLISHED_PACKAGES.map((name) => checkTarball(name));
  for (const manifest of manifests) linkDependencies(manifest);
  importEverything(manifests);
} finally {
  rmSync(work, { recursive: true, force: true });
}

function checkTarball(name: string): Manifest {
  const folder = join(ROOT, 'packages', name);
  const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest;
  const listed = JSON.parse(
    capture('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', work], folder),
  ) as Packed[];
  const packed = listed[0];
  if (packed === undefined) throw new Error(`npm pack made nothing of packages/${name}`);
  checkFileList(manifest.name, packed);
  const tarball = join(work, packed.filename.replace('@', '').replace('/', '-'));
  run('publint', ['run', tarball, '--strict']);
  run('attw', [tarball, '--profile', 'esm-only', '--no-emoji', '--format', 'ascii']);
  const target = join(work, 'node_modules', manifest.name);
  mkdirSync(target, { recursive: true });
  run('tar', ['-xzf', tarball, '-C', target, '--strip-components=1']);
  return manifest;
}

function checkFileList(name: string, packed: Packed): void {
  const paths = packed.files.map((file) => file.path);
  const unwanted = paths.filter((path) => UNWANTED.test(path));
  if (unwanted.length > 0) throw new Error(`${name} packs files that do not belong there: ${unwanted.join(', ')}`);
  if (!paths.includes('dist/index.js')) throw new Error(`${name} packs no dist/index.js: run \`npm run build\` first`);
  if (!paths.includes('LICENSE')) throw new Error(`${name} packs no LICENSE`);
}

/** Third-party packages come from the workspace, so that nothing is downloaded; ours come from the tarballs only. */
function linkDependencies(manifest: Manifest): void {
  const names = Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies });
  for (const name of names.filter((each) => !each.startsWith('@oversync/'))) {
    const link = join(work, 'node_modules', name);
    mkdirSync(dirname(link), { recursive: true });
    try {
      symlinkSync(join(ROOT, 'node_modules', name), link, 'dir');
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
    }
  }
}

function importEverything(manifests: readonly Manifest[]): void {
  const specifiers = manifests.flatMap((manifest) =>
    Object.keys(manifest.exports)
      .filter((path) => path !== './package.json')
      .map((path) => manifest.name + path.slice(1)),
  );
  const smoke = join(work, 'smoke.mjs');
  cpSync(join(ROOT, 'scripts', 'smoke-of-packages.mjs'), smoke);
  writeFileSync(join(work, 'specifiers.json'), JSON.stringify(specifiers));
  run('node', [smoke], work);
  for (const version of otherNodes) run('npx', ['--yes', '--package', `node@${version}`, 'node', smoke], work);
}
