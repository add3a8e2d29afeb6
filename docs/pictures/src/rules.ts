/** The rules of monitoring/, so that promtool can backfill them: it takes recording rules only, and one level at a time. */

import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';

/** A recording rule. */
export interface Rule {
  record: string;
  expr: string;
  labels?: Record<string, string>;
}

interface AlertRule {
  alert: string;
  expr: string;
  for?: string;
  labels?: Record<string, string>;
}

interface RuleFile {
  groups: { rules: (Rule | AlertRule)[] }[];
}

/** Return the rules of the folder's files in levels: each rule needs only what levels before its own record. */
export function readRules(folder: string): Rule[][] {
  const files = readdirSync(folder).filter((name) => name.endsWith('.rules.yml'));
  const contents = files.map((name) => parse(readFileSync(join(folder, name), 'utf8'), { merge: true }) as RuleFile);
  return levels(contents.flatMap(({ groups }) => groups.flatMap(({ rules }) => rules.map(recording))));
}

function levels(rules: Rule[]): Rule[][] {
  if (rules.length === 0) {
    return [];
  }
  const ready = rules.filter(({ expr }) => !rules.some(({ record }) => expr.includes(record)));
  if (ready.length === 0) {
    throw new Error(`rules in a circle: ${rules.map(({ record }) => record).join(', ')}`);
  }
  return [ready, ...levels(rules.filter((rule) => !ready.includes(rule)))];
}

/** Return an alert as a rule that records `ALERTS`, as Prometheus does while the alert fires. */
function recording(rule: Rule | AlertRule): Rule {
  if ('record' in rule) {
    return rule;
  }
  const labels = { ...rule.labels, alertname: rule.alert, alertstate: 'firing' };
  return { record: 'ALERTS', expr: `(${lasting(rule)}) * 0 + 1`, labels };
}

/** Return an expression that has a value once the alert's has had one at each evaluation for as long as `for` says. */
function lasting({ expr, for: wait }: AlertRule): string {
  return wait ? `count_over_time((${expr})[${wait}:1m]) >= scalar(count_over_time(vector(1)[${wait}:1m]))` : expr;
}
