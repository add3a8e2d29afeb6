/** Turns an OpenMetrics file into blocks, and what a folder's rules record of it from one time to another. */

import { importHistory, importRules } from './prometheus';
import { readRules } from './rules';

const [history, rules, blocks, from, to] = process.argv.slice(2);
if (!history || !rules || !blocks || !from || !to) {
  throw new Error('usage: import HISTORY RULES BLOCKS FROM TO');
}
importHistory(history, blocks);
await importRules(readRules(rules), { from, to }, blocks);
