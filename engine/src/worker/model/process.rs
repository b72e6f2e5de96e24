//! A worker process under test: what it holds, and the engine's own functions that move it.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgConnection;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use super::super::execute::execute;
use super::super::finish::Finished;
use super::super::hold::Hold;
use super::super::{Shared, StepJob, Worker, commit, fetch, grant, intend, promote};
use super::Broken;
use super::bench::ROOM;
use crate::clock;
use crate::context::IntentRequest;
use crate::step::StepError;

/// How long a step may take that waits for nobody.
const PATIENCE: Duration = Duration::from_secs(30);

/// A process, with what it holds in the order in which it got it.
pub(super) struct Process {
    pub(super) shared: Arc<Shared>,
    wishes: mpsc::Receiver<IntentRequest>,
    ready: mpsc::Sender<StepJob>,
    jobs: mpsc::Receiver<StepJob>,
    held: Vec<Holding>,
    /// Whether its row was said to have expired.
    pub(super) expired: bool,
}

type Answer = Result<(), StepError>;

/// How far a process has come with a job.
enum Holding {
    Claimed(Box<StepJob>),
    Wishing(AbortOnDropHandle<Finished>, IntentRequest),
    Answered(AbortOnDropHandle<Finished>, oneshot::Sender<Answer>, Answer),
    Finished(Box<Finished>),
}

impl Process {
    pub(super) fn new(worker: Worker, id: i64) -> Self {
        let (intents, wishes) = mpsc::channel(ROOM);
        let (ready, jobs) = mpsc::channel(ROOM);
        // It stands still when the model says so, never because the machine is slow.
        let hold = Arc::new(Hold::from(clock::started() + Duration::from_secs(3_600)));
        let shared = Arc::new(Shared {
            id,
            hold,
            queues: worker.queues(),
            worker,
            wake: Notify::new(),
            promote: Notify::new(),
            grant: Notify::new(),
            family: Notify::new(),
            operate: Notify::new(),
            schedule: Notify::new(),
            leases: Semaphore::new(ROOM),
            unbegun: Semaphore::new(ROOM),
            suspects: Semaphore::new(1),
            tails: promote::Tails::default(),
            intents,
            recorded: Notify::new(),
        });
        Self { shared, wishes, ready, jobs, held: Vec::new(), expired: false }
    }

    /// How many jobs it holds.
    pub(super) fn holds(&self) -> usize {
        self.held.len()
    }

    /// Whether the step of a job that it holds waits for leave to act.
    pub(super) fn wishes(&self, at: usize) -> bool {
        matches!(self.held[at], Holding::Wishing(..))
    }

    pub(super) async fn claim(&mut self, limit: usize) -> Result<(), Broken> {
        let mut connection = self.shared.worker.queue.acquire().await?;
        let claimed = fetch::claim(&mut connection, &self.shared, i64::MIN, limit).await?;
        let jobs = claimed.into_iter().map(|row| Holding::Claimed(Box::new(row.into())));
        self.held.extend(jobs);
        Ok(())
    }

    pub(super) async fn grant(&mut self, grants: &mut PgConnection) -> Result<(), Broken> {
        if grant::waits(grants).await? {
            let claimed = grant::claim(grants, &self.shared, ROOM).await?;
            let jobs = claimed.into_iter().map(|row| Holding::Claimed(Box::new(row.into())));
            self.held.extend(jobs);
        }
        Ok(())
    }

    /// Works at a job until its step has ended or wants to act.
    pub(super) async fn execute(&mut self, at: usize) -> Result<(), Broken> {
        let Holding::Claimed(job) = self.held.remove(at) else {
            return Err(Broken("the model works at what is not merely claimed".into()));
        };
        let shared = Arc::clone(&self.shared);
        let work = tokio::spawn(async move { execute(&shared, *job).await });
        let mut work = AbortOnDropHandle::new(work);
        let holding = tokio::select! {
            finished = &mut work => {
                Holding::Finished(Box::new(finished.expect("working never panics")))
            }
            Some(wish) = self.wishes.recv() => Holding::Wishing(work, wish),
            () = tokio::time::sleep(PATIENCE) => {
                return Err(Broken("a step neither ends nor wants to act".into()));
            }
        };
        self.held.insert(at, holding);
        Ok(())
    }

    /// Writes the intents of all steps that want to act.
    pub(super) async fn intend(&mut self, db: &mut PgConnection) -> Result<(), Broken> {
        let (mut places, mut works, mut wishes) = (Vec::new(), Vec::new(), Vec::new());
        for (place, holding) in std::mem::take(&mut self.held).into_iter().enumerate() {
            if let Holding::Wishing(work, wish) = holding {
                places.push(place);
                works.push(work);
                wishes.push(wish);
            } else {
                self.held.push(holding);
            }
        }
        let answers = intend::write(&self.shared, db, &wishes).await?;
        let answered = works.into_iter().zip(wishes).zip(answers);
        for (place, ((work, wish), answer)) in places.into_iter().zip(answered) {
            self.held.insert(place, Holding::Answered(work, wish.answer, answer));
        }
        Ok(())
    }

    /// Lets a step hear its answer, act where it may, and end.
    pub(super) async fn act(&mut self, at: usize) -> Result<(), Broken> {
        let Holding::Answered(work, listener, answer) = self.held.remove(at) else {
            return Err(Broken("the model acts where no answer stands".into()));
        };
        let _listening = listener.send(answer);
        let finished = work.await.expect("working never panics");
        self.held.insert(at, Holding::Finished(Box::new(finished)));
        Ok(())
    }

    /// Records all that has ended; gives how many records counted.
    pub(super) async fn record(&mut self, db: &mut PgConnection) -> Result<usize, Broken> {
        let mut batch = Vec::new();
        for holding in std::mem::take(&mut self.held) {
            if let Holding::Finished(finished) = holding {
                batch.push(*finished);
            } else {
                self.held.push(holding);
            }
        }
        let recorded = commit::write(&self.shared, db, &batch).await?;
        let count = recorded.len();
        commit::follow(&self.shared, batch, recorded, &self.ready).await;
        while let Ok(job) = self.jobs.try_recv() {
            self.held.push(Holding::Claimed(Box::new(job)));
        }
        Ok(count)
    }
}
