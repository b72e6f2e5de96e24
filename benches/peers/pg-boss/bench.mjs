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
const FIGURES = {
  seq3: [
    // Each step sends its next one by itself. A send that notifies waits for the one before: none does.
    {
      name: 'seq3_runs_per_s',
      steps: 3,
      share: 1 / 8,
      notify: false,
      work: { batchSize: 100, localConcurrency: 8 },
      next: (queue, jobs) => Promise.all(jobs.map(job => boss.send(queue, job.data))),
    },
    // One handler takes the steps of thousands of runs: their next ones are inserted by one statement, and
    // `transactional` commits them with the batch's completion. The batch stands or falls as a whole.
    {
      name: 'seq3_batched_runs_per_s',
      steps: 3,
      share: 1,
      notify: true,
      work: { batchSize: 3_000, localConcurrency: 4, transactional: true },
      next: (queue, jobs, tx) => boss.insert(queue, jobs, { db: tx }),
    },
  ],
  drain: [
    {
      name: 'drain_runs_per_s',
      steps: 1,
      share: 1,
      notify: true,
      work: { batchSize: 1_000, localConcurrency: 4 },
    },
  ],
}
// The rest of a queue that had no full batch is looked for this often, which is the least that is allowed;
// a notification wakes the workers before.
const POLL = { burstWhenBatchFull: true, pollingIntervalSeconds: 0.5 }
// No cron and no clean-up: nothing but the queue's work.
const BOSS = { max: 24, useListenNotify: true, schedule: false, supervise: false }

const [url, asked, countText] = process.argv.slice(2)
const count = Number(countText)
if (!url || !(asked in FIGURES) || !(count > 0)) {
  console.error('usage: node bench.mjs DATABASE_URL seq3|drain COUNT')
  process.exit(2)
}
setTimeout(() => fail(new Error(`not done within ${LIMIT_MS / 1_000} s`)), LIMIT_MS).unref()

const boss = new PgBoss({ connectionString: url, ...BOSS })
boss.on('error', fail)
const db = new pg.Client({ connectionString: url })

try {
  await db.connect()
  await boss.start()
  for (const figure of FIGURES[asked]) {
    await runsPerSecond(figure, `${figure.name}_warm_up`, WARM_UP)
    const value = await runsPerSecond(figure, figure.name, Math.ceil(count * figure.share))
    console.log(JSON.stringify({ name: figure.name, value, unit: 'runs/s' }))
  }
  process.exit(0)
} catch (error) {
  fail(error)
}

async function runsPerSecond ({ steps, notify, work, next }, queue, runs) {
  // A queue with a table of its own is fetched from faster.
  await boss.createQueue(queue, { notify, partition: true })
  for (let first = 0; first < runs; first += INSERT_AT_ONCE) {
    const length = Math.min(INSERT_AT_ONCE, runs - first)
    await boss.insert(queue, Array.from({ length }, (_, n) => ({ data: { run: first + n, step: 1 } })))
  }
  await db.query('vacuum analyze')

  let ended = 0
  const began = performance.now()
  await boss.work(queue, { ...POLL, ...work }, async (jobs, tx) => {
    const following = jobs
      .filter(job => job.data.step < steps)
      .map(job => ({ data: { run: job.data.run, step: job.data.step + 1 } }))
    if (following.length > 0) await next(queue, following, tx)
    ended += jobs.length - following.length
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
