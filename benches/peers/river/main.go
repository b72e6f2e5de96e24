// How fast River is: `river DATABASE_URL seq3|drain COUNT`, in a database of its own.
//
// A run's step is a job; its arguments say which step. River keeps a completed job's row for a day, with
// when it was created, attempted and finalized, and by whom: that row is the step's history.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

const (
	limit        = 120 * time.Second
	warmUp       = 1_000
	insertAtOnce = 1_000

	// README.md tells what was tried. These are the settings of River's own benchmark: workers enough
	// that its batch completer always has a batch, and fetches that follow each other closely.
	maxWorkers        = 2_000
	fetchCooldown     = 2 * time.Millisecond
	fetchPollInterval = 20 * time.Millisecond
	maxConnections    = 24
)

// Inserts the next step, if there is one, and leaves the completion to River's batch completer. A crash
// in between repeats the step. With COPY and without the row returned, this is River's fastest insert.
func apart(ctx context.Context, _ *pgxpool.Pool, job *river.Job[StepArgs]) error {
	if job.Args.isLast() {
		return nil
	}
	client := river.ClientFromContext[pgx.Tx](ctx)
	_, err := client.InsertManyFast(ctx, []river.InsertManyParams{{Args: job.Args.next()}})
	return err
}

// Inserts the next step, if there is one, and completes this one in the same transaction.
func transactional(ctx context.Context, pool *pgxpool.Pool, job *river.Job[StepArgs]) error {
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if !job.Args.isLast() {
			client := river.ClientFromContext[pgx.Tx](ctx)
			if _, err := client.InsertTx(ctx, tx, job.Args.next(), nil); err != nil {
				return err
			}
		}
		_, err := river.JobCompleteTx[*riverpgxv5.Driver](ctx, tx, job)
		return err
	})
}

type move func(context.Context, *pgxpool.Pool, *river.Job[StepArgs]) error

// StepArgs says which step of which run a job is.
type StepArgs struct {
	Run   int `json:"run"`
	Step  int `json:"step"`
	Steps int `json:"steps"`
}

// Kind is the name that River knows these jobs by.
func (StepArgs) Kind() string { return "step" }

func (args StepArgs) isLast() bool { return args.Step == args.Steps }

func (args StepArgs) next() StepArgs {
	args.Step++
	return args
}

type stepWorker struct {
	river.WorkerDefaults[StepArgs]
	pool  *pgxpool.Pool
	move  move
	ended atomic.Int64
}

func (worker *stepWorker) Work(ctx context.Context, job *river.Job[StepArgs]) error {
	if err := worker.move(ctx, worker.pool, job); err != nil {
		return err
	}
	if job.Args.isLast() {
		worker.ended.Add(1)
	}
	return nil
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := measure(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func measure(ctx context.Context, arguments []string) error {
	usage := errors.New("usage: river DATABASE_URL seq3|drain COUNT")
	if len(arguments) != 3 {
		return usage
	}
	count, err := strconv.Atoi(arguments[2])
	if err != nil || count < 1 {
		return usage
	}
	pool, err := connect(ctx, arguments[0])
	if err != nil {
		return err
	}
	defer pool.Close()
	switch arguments[1] {
	case "seq3":
		if err := figure(ctx, pool, "seq3_runs_per_s", apart, 3, count); err != nil {
			return err
		}
		return figure(ctx, pool, "seq3_transactional_runs_per_s", transactional, 3, max(count/3, 1))
	case "drain":
		return figure(ctx, pool, "drain_runs_per_s", apart, 1, count)
	default:
		return usage
	}
}

func connect(ctx context.Context, url string) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	config.MaxConns = maxConnections
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), nil)
	if err != nil {
		return nil, err
	}
	_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	return pool, err
}

func figure(ctx context.Context, pool *pgxpool.Pool, name string, move move, steps, runs int) error {
	if _, err := runsPerSecond(ctx, pool, move, steps, warmUp); err != nil {
		return err
	}
	value, err := runsPerSecond(ctx, pool, move, steps, runs)
	if err != nil {
		return err
	}
	fmt.Printf("{\"name\":%q,\"value\":%.3f,\"unit\":\"runs/s\"}\n", name, value)
	return nil
}

func runsPerSecond(ctx context.Context, pool *pgxpool.Pool, move move, steps, runs int) (float64, error) {
	worker := &stepWorker{pool: pool, move: move}
	client, err := newClient(pool, worker)
	if err != nil {
		return 0, err
	}
	if err := start(ctx, pool, client, steps, runs); err != nil {
		return 0, err
	}
	began := time.Now()
	if err := client.Start(ctx); err != nil {
		return 0, err
	}
	if err := untilEnded(ctx, pool, worker, runs); err != nil {
		return 0, err
	}
	seconds := time.Since(began).Seconds()
	if err := client.Stop(ctx); err != nil {
		return 0, err
	}
	var kept int
	query := "select count(*) from river_job where state = 'completed'"
	if err := pool.QueryRow(ctx, query).Scan(&kept); err != nil {
		return 0, err
	}
	if kept != runs*steps {
		return 0, fmt.Errorf("%d steps are completed, not %d", kept, runs*steps)
	}
	return float64(runs) / seconds, nil
}

func newClient(pool *pgxpool.Pool, worker *stepWorker) (*river.Client[pgx.Tx], error) {
	workers := river.NewWorkers()
	river.AddWorker(workers, worker)
	return river.NewClient(riverpgxv5.New(pool), &river.Config{
		FetchCooldown:     fetchCooldown,
		FetchPollInterval: fetchPollInterval,
		// Below an error, River tells what it does only to a log that costs time.
		Logger:  slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError})),
		Queues:  map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: maxWorkers}},
		Workers: workers,
	})
}

// start empties the tables and inserts the first step of all runs.
func start(ctx context.Context, pool *pgxpool.Pool, client *river.Client[pgx.Tx], steps, runs int) error {
	if _, err := pool.Exec(ctx, "truncate river_job"); err != nil {
		return err
	}
	for first := 0; first < runs; first += insertAtOnce {
		jobs := make([]river.InsertManyParams, 0, insertAtOnce)
		for run := first; run < min(first+insertAtOnce, runs); run++ {
			jobs = append(jobs, river.InsertManyParams{Args: StepArgs{Run: run, Step: 1, Steps: steps}})
		}
		if _, err := client.InsertManyFast(ctx, jobs); err != nil {
			return err
		}
	}
	_, err := pool.Exec(ctx, "vacuum analyze")
	return err
}

// untilEnded waits until all runs have ended and no job is left to complete.
func untilEnded(ctx context.Context, pool *pgxpool.Pool, worker *stepWorker, runs int) error {
	left := "select exists (select from river_job where state in ('available', 'running', 'retryable'))"
	for some := true; some; time.Sleep(5 * time.Millisecond) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if worker.ended.Load() < int64(runs) {
			continue
		}
		if err := pool.QueryRow(ctx, left).Scan(&some); err != nil {
			return err
		}
	}
	return nil
}
