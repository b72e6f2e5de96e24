// How fast pg-boss is: `node bench.mjs DATABASE_URL seq3|drain COUNT`, in a database of its own.
//
// A run's step is a job; its data say which step. pg-boss keeps a completed job's row for a week, with
// when it was created, started and completed: that row is the step's history.

import pg from 'pg'
import { PgBoss } from 'pg-boss'

const LIMIT_MS = 120_000
const WARM_UP = 1_000
const INSERT_AT_ONCE = 1_000

// README.md tells what was tried. A worker fetches a batch, and fetches again at once while batches are full.
const WORK = {
  // `transactional`: what the handler inserts commits with the batch's completion. No run is lost or
  // doubled between two steps, and it is the fastest as well: one commit per batch instead of two.
  seq3: { batchSize: 1_000, localConcurrency: 4, transactional: true },
  // Nothing to insert, so a plain handler: a batch's fetch and its completion are two statements.
  drain: { batchSize: 300, localConcurrency: 8 },
}
// The rest of a queue that had no full batch is looked for this often, which is the least that is allowed…
const POLL = { burstWhenBatchFull: true, pollingIntervalSeconds: 0.5 }
// …but a notification wakes the workers before.
const NOTIFY = { useListenNotify: true }
// No cron, no clean-up: nothing but the queue's work.
const QUIET = { schedule: false, supervise: false }

const [url, figure, countText] = process.argv.slice(2)
const count = Number(countText)
if (!url || !(figure in WORK) || !(count > 0)) {
  console.error('usage: node bench.mjs DATABASE_URL seq3|drain COUNT')
  process.exit(2)
}
const steps = figure === 'seq3' ? 3 : 1
setTimeout(() => fail(new Error(`not done within ${LIMIT_MS / 1_000} s`)), LIMIT_MS).unref()

const boss = new PgBoss({ connectionString: url, max: 12, ...NOTIFY, ...QUIET })
boss.on('error', fail)
const db = new pg.Client({ connectionString: url })

try {
  await db.connect()
  await boss.start()
  await runsPerSecond('warm_up', WARM_UP)
  const value = await runsPerSecond('measured', count)
  console.log(JSON.stringify({ name: `${figure}_runs_per_s`, value, unit: 'runs/s' }))
  process.exit(0)
} catch (error) {
  fail(error)
}

async function runsPerSecond (queue, runs) {
  await boss.createQueue(queue, { notify: true })
  for (let first = 0; first < runs; first += INSERT_AT_ONCE) {
    const length = Math.min(INSERT_AT_ONCE, runs - first)
    await boss.insert(queue, Array.from({ length }, (_, n) => ({ data: { run: first + n, step: 1 } })))
  }
  await db.query('vacuum analyze')

  let ended = 0
  const began = performance.now()
  await boss.work(queue, { ...POLL, ...WORK[figure] }, async (jobs, tx) => {
    const next = jobs
      .filter(job => job.data.step < steps)
      .map(job => ({ data: { run: job.data.run, step: job.data.step + 1 } }))
    if (next.length > 0) await boss.insert(queue, next, { db: tx })
    ended += jobs.length - next.length
  })
  await until(async () => ended >= runs && !await isLeft(queue))
  const seconds = (performance.now() - began) / 1_000

  await boss.offWork(queue)
  const { rows: [{ kept }] } = await db.query(
    "select count(*)::int as kept from pgboss.job where name = $1 and state = 'completed'", [queue])
  if (kept !== runs * steps) throw new Error(`${kept} steps are completed, not ${runs * steps}`)
  return runs / seconds
}

async function isLeft (queue) {
  const { rows: [{ left }] } = await db.query(
    "select exists (select from pgboss.job where name = $1 and state < 'completed') as left", [queue])
  return left
}

async function until (holds) {
  while (!await holds()) await new Promise(resolve => setTimeout(resolve, 5))
}

function fail (error) {
  console.error(error)
  process.exit(1)
}
