/** A Prometheus over a folder of blocks, and the blocks that go into it. */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { stringify } from 'yaml';

import type { Rule } from './rules';

const HOST = '127.0.0.1';
const RULE_INTERVAL = '1m';
const START_SECONDS = 60;

/** From one moment to another, each as RFC 3339 has it. */
export interface Span {
  from: string;
  to: string;
}

/** Run `work` with the URL of a Prometheus that serves the blocks. */
export async function withPrometheus(blocks: string, work: (url: string) => Promise<void>): Promise<void> {
  const address = `${HOST}:${await freePort()}`;
  const config = join(blocks, 'prometheus.yml');
  writeFileSync(config, '');
  const prometheus = spawn(
    'prometheus',
    [
      `--config.file=${config}`,
      `--storage.tsdb.path=${blocks}`,
      '--storage.tsdb.retention.time=100y', // the history is of a fixed date
      `--web.listen-address=${address}`,
      '--log.level=error',
    ],
    { stdio: 'inherit' }
  );
  process.once('exit', () => prometheus.kill()); // whatever ends this process
  try {
    await ready(prometheus, `http://${address}`);
    await work(`http://${address}`);
  } finally {
    await ended(prometheus);
  }
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, HOST);
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  return port;
}

async function ready(prometheus: ChildProcess, url: string): Promise<void> {
  for (let second = 0; second < START_SECONDS; second += 0.5) {
    if (prometheus.exitCode !== null) {
      break;
    }
    const answer = await fetch(`${url}/-/ready`).catch(() => undefined);
    if (answer?.ok) {
      return;
    }
    await sleep(500);
  }
  throw new Error(`no Prometheus at ${url}`);
}

async function ended(prometheus: ChildProcess): Promise<void> {
  if (prometheus.exitCode !== null) {
    return;
  }
  prometheus.kill('SIGKILL'); // it has only read; asked to end, it would complain of a compaction broken off
  await once(prometheus, 'exit');
}

/** Turn an OpenMetrics file into blocks. */
export function importHistory(file: string, blocks: string): void {
  rmSync(blocks, { recursive: true, force: true });
  mkdirSync(blocks, { recursive: true });
  createBlocks('openmetrics', file, blocks);
}

/** Add what rules would have recorded, level after level. */
export async function importRules(levels: Rule[][], span: Span, blocks: string): Promise<void> {
  const file = join(blocks, 'level.yml');
  for (const [level, rules] of levels.entries()) {
    writeFileSync(file, stringify({ groups: [{ name: `level ${level}`, interval: RULE_INTERVAL, rules }] }));
    await withPrometheus(blocks, async (url) =>
      createBlocks('rules', file, `--start=${span.from}`, `--end=${span.to}`, `--url=${url}`, `--output-dir=${blocks}`)
    );
  }
}

function createBlocks(from: string, ...parameters: string[]): void {
  execFileSync('promtool', ['tsdb', 'create-blocks-from', from, ...parameters], { stdio: 'pipe' }); // is quiet unless it fails
}
