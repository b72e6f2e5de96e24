// How fast graphile-worker is: `node bench.mjs DATABASE_URL seq3|drain COUNT`, in a database of its own.
//
// A run's step is a job; its payload says which step. graphile-worker deletes a completed job, so that a
// step writes a row of history itself, in the statement that adds the next step's job.

import { Logger, makeWorkerUtils, run as work } from 'graphile-worker'
import pg from 'pg'

const LIMIT_MS = 120_000
const WARM_UP = 1_000
const INSERT_AT_ONCE = 1_000

// README.md tells what was tried. These start from https://worker.graphile.org/docs/performance:
// jobs are fetched in batches into the local queue, and completions are gathered into one statement.
const WORKER = {
  // Each `add_job` notifies, and commits that notify go one after the other: more jobs at once only wait.
  seq3: { concurrentJobs: 8, maxPoolSize: 9, localQueue: { size: 500 } },
  drain: { concurrentJobs: 10, maxPoolSize: 11, localQueue: { size: 1_000 } },
}
const BATCHES = { completeJobBatchDelay: 0, failJobBatchDelay: 0 }

// One statement, so that the history and the next step stand together or not at all. The library
// completes the job afterwards, outside of it: a crash in between repeats the step.
const STEP = {
  name: 'step',
  text: `with history as (insert into step_history (run, step) values ($1, $2))
    select from graphile_worker.add_job('step', json_build_object('run', $1, 'step', $2 + 1))`,
}
const LAST_STEP = { name: 'last_step', text: 'insert into step_history (run, step) values ($1, $2)' }
const HISTORY = `create table step_history (
  run bigint, step int, ended_at timestamptz not null default now(), primary key (run, step))`

const [url, figure, countText] = process.argv.slice(2)
const count = Number(countText)
if (!url || !(figure in WORKER) || !(count > 0)) {
  console.error('usage: node bench.mjs DATABASE_URL seq3|drain COUNT')
  process.exit(2)
}
setTimeout(() => fail(new Error(`not done within ${LIMIT_MS / 1_000} s`)), LIMIT_MS).unref()

const logger = new Logger(() => (level, message) => {
  if (level === 'error' || level === 'warning') console.error(message)
})
const preset = { worker: { connectionString: url, logger, ...BATCHES, ...WORKER[figure] } }
const db = new pg.Client({ connectionString: url })

try {
  await db.connect()
  await db.query(HISTORY)
  const utils = await makeWorkerUtils({ preset })
  await utils.migrate()
  await runsPerSecond(utils, WARM_UP)
  const value = await runsPerSecond(utils, count)
  console.log(JSON.stringify({ name: `${figure}_runs_per_s`, value, unit: 'runs/s' }))
  process.exit(0)
} catch (error) {
  fail(error)
}

async function runsPerSecond (utils, runs) {
  await db.query('truncate step_history')
  for (let first = 1; first <= runs; first += INSERT_AT_ONCE) {
    const length = Math.min(INSERT_AT_ONCE, runs - first + 1)
    await utils.addJobs(Array.from({ length }, (_, n) => (
      { identifier: figure === 'seq3' ? 'step' : 'nothing', payload: { run: first + n, step: 1 } })))
  }
  await db.query('vacuum analyze')

  let ended = 0
  const taskList = {
    step: async ({ run, step }, { withPgClient }) => {
      const statement = step < 3 ? STEP : LAST_STEP
      await withPgClient(client => client.query({ ...statement, values: [run, step] }))
      if (step === 3) ended += 1
    },
    nothing: () => { ended += 1 },
  }
  const began = performance.now()
  const runner = await work({ preset, taskList })
  await until(async () => ended >= runs && !await isLeft())
  const seconds = (performance.now() - began) / 1_000

  await runner.stop()
  const { rows: [{ kept }] } = await db.query('select count(*)::int as kept from step_history')
  const steps = figure === 'seq3' ? runs * 3 : 0
  if (kept !== steps) throw new Error(`${kept} steps are in the history, not ${steps}`)
  return runs / seconds
}

async function isLeft () {
  const { rows: [{ left }] } = await db.query(
    'select exists (select from graphile_worker._private_jobs) as left')
  return left
}

async function until (holds) {
  while (!await holds()) await new Promise(resolve => setTimeout(resolve, 5))
}

function fail (error) {
  console.error(error)
  process.exit(1)
}
