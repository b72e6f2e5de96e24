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
const FIGURES = {
  seq3: [
    // Each `add_job` notifies, and commits that notify go one after the other: more jobs at once only wait.
    {
      name: 'seq3_runs_per_s',
      task: 'step',
      share: 1,
      worker: { concurrentJobs: 8, maxPoolSize: 9, localQueue: { size: 500 } },
      write: (withPgClient, step) => write(withPgClient, [step]),
    },
    // Beyond what its documentation shows: what is written in between is gathered by code of one's own.
    {
      name: 'seq3_batched_runs_per_s',
      task: 'step',
      share: 15,
      worker: { concurrentJobs: 5_000, maxPoolSize: 8, localQueue: { size: 5_000 } },
      write: gathered,
    },
  ],
  drain: [
    {
      name: 'drain_runs_per_s',
      task: 'nothing',
      share: 1,
      worker: { concurrentJobs: 10, maxPoolSize: 11, localQueue: { size: 3_000 } },
    },
  ],
}
const BATCHES = { completeJobBatchDelay: 0, failJobBatchDelay: 0 }

const HISTORY = `create table step_history (
  run bigint, step int, ended_at timestamptz not null default now(), primary key (run, step))`
// One statement, so that the history and the next steps stand together or not at all. The library
// completes the jobs afterwards, outside of it: a crash in between repeats the steps.
const WRITE = {
  name: 'write',
  text: `with history as (
      insert into step_history (run, step) select * from unnest($1::bigint[], $2::int[]))
    select from graphile_worker.add_jobs(array(
      select json_populate_record(null::graphile_worker.job_spec, json_build_object(
        'identifier', 'step', 'payload', json_build_object('run', run, 'step', step + 1)))
      from unnest($1::bigint[], $2::int[]) as ended (run, step) where step < 3))`,
}
// With nothing to add, `add_jobs` would notify all the same.
const WRITE_LAST = {
  name: 'write_last',
  text: 'insert into step_history (run, step) select * from unnest($1::bigint[], $2::int[])',
}

const [url, asked, countText] = process.argv.slice(2)
const count = Number(countText)
if (!url || !(asked in FIGURES) || !(count > 0)) {
  console.error('usage: node bench.mjs DATABASE_URL seq3|drain COUNT')
  process.exit(2)
}
setTimeout(() => fail(new Error(`not done within ${LIMIT_MS / 1_000} s`)), LIMIT_MS).unref()

const logger = new Logger(() => (level, message) => {
  if (level === 'error' || level === 'warning') console.error(message)
})
const db = new pg.Client({ connectionString: url })

// What is gathered for the next statement, and the statement under way.
let gathering = null
let writing = Promise.resolve()

try {
  await db.connect()
  await db.query(HISTORY)
  for (const figure of FIGURES[asked]) {
    await runsPerSecond(figure, WARM_UP)
    const value = await runsPerSecond(figure, Math.ceil(count * figure.share))
    console.log(JSON.stringify({ name: figure.name, value, unit: 'runs/s' }))
  }
  process.exit(0)
} catch (error) {
  fail(error)
}

async function runsPerSecond ({ task, worker, write }, runs) {
  const preset = { worker: { connectionString: url, logger, ...BATCHES, ...worker } }
  const utils = await makeWorkerUtils({ preset })
  await utils.migrate()
  await db.query('truncate step_history')
  for (let first = 1; first <= runs; first += INSERT_AT_ONCE) {
    const length = Math.min(INSERT_AT_ONCE, runs - first + 1)
    await utils.addJobs(Array.from({ length }, (_, n) => (
      { identifier: task, payload: { run: first + n, step: 1 } })))
  }
  await utils.release()
  await db.query('vacuum analyze')

  let ended = 0
  const taskList = {
    step: async (payload, { withPgClient }) => {
      await write(withPgClient, payload)
      if (payload.step === 3) ended += 1
    },
    nothing: () => { ended += 1 },
  }
  const began = performance.now()
  const runner = await work({ preset, taskList })
  await until(async () => ended >= runs && !await isLeft())
  const seconds = (performance.now() - began) / 1_000

  await runner.stop()
  const { rows: [{ kept }] } = await db.query('select count(*)::int as kept from step_history')
  const steps = task === 'step' ? runs * 3 : 0
  if (kept !== steps) throw new Error(`${kept} steps are in the history, not ${steps}`)
  return runs / seconds
}

// Writes the history of steps and adds the jobs of those that follow.
async function write (withPgClient, steps) {
  const statement = steps.some(({ step }) => step < 3) ? WRITE : WRITE_LAST
  const values = [steps.map(({ run }) => run), steps.map(({ step }) => step)]
  await withPgClient(client => client.query({ ...statement, values }))
}

// Writes a step together with all that end while the statement before is under way.
function gathered (withPgClient, step) {
  if (!gathering) {
    const steps = []
    const written = writing.then(() => {
      gathering = null
      return write(withPgClient, steps)
    })
    writing = written.catch(() => {})
    gathering = { steps, written }
  }
  gathering.steps.push(step)
  return gathering.written
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
