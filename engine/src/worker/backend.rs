//! SalesOS' backend for apalis: jobs come from the fetcher and the committer, and what came of them goes
//! to the committer. ARCHITECTURE.md says why no stock storage serves.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use apalis::layers::WorkerBuilderExt;
use apalis::prelude::{BoxDynError, Data, Task, TaskBuilder, WorkerBuilder, WorkerContext};
use apalis_core::backend::finalize::Ephemeral;
use apalis_core::backend::{Backend, BackendConfig};
use apalis_core::error::WorkerError;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::TaskTracker;
use tower::{Layer, Service};

use super::execute::execute;
use super::finish::{Finished, held};
use super::{Shared, StepJob};

/// Starts the apalis worker. What comes back is ready once told to close and its running steps have ended;
/// steps that still run when the second token is cancelled are dropped.
pub(super) fn spawn(
    tasks: &TaskTracker,
    shared: Arc<Shared>,
    jobs: mpsc::Receiver<StepJob>,
    finished: mpsc::Sender<Finished>,
    [closing, dropping]: [CancellationToken; 2],
) -> oneshot::Receiver<()> {
    let (ended, wait) = oneshot::channel();
    let settings = shared.worker.settings.clone();
    let told = closing.clone();
    let backend = StepBackend { jobs, finished, closing: Box::pin(closing.cancelled_owned()) };
    let worker = WorkerBuilder::new(settings.name)
        .backend(backend)
        .concurrency(settings.concurrency)
        .data(shared)
        .build(work);
    tasks.spawn(async move {
        let told = async move {
            told.cancelled().await;
            Ok::<(), WorkerError>(())
        };
        if let Some(Err(error)) = dropping.run_until_cancelled(worker.run_until(told)).await {
            tracing::error!(%error, "the apalis worker ended");
        }
        let _waiting = ended.send(());
    });
    wait
}

async fn work(job: StepJob, shared: Data<Arc<Shared>>) -> Result<Finished, BoxDynError> {
    Ok(execute(&shared, job).await)
}

/// The source of jobs. It is exhausted when the worker closes: what it still holds goes back by the lease.
struct StepBackend {
    jobs: mpsc::Receiver<StepJob>,
    finished: mpsc::Sender<Finished>,
    closing: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Backend for StepBackend {
    type Task = Task<StepJob>;
    type Error = Infallible;

    fn poll_ready(
        &mut self,
        _: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Option<Result<Self::Task, Infallible>>> {
        if self.closing.poll_unpin(cx).is_ready() {
            return Poll::Ready(None);
        }
        self.jobs.poll_recv(cx).map(|job| job.map(|job| Ok(TaskBuilder::new(job).build())))
    }

    fn poll_close(
        &mut self,
        _: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Result<(), Infallible>> {
        self.jobs.close();
        Poll::Ready(Ok(()))
    }
}

impl BackendConfig for StepBackend {
    type Args = StepJob;
    type Id = u64;
    type Kind = Ephemeral;
    type Config = ();
    type Layer = Acknowledge;

    fn config(&self) -> &() {
        &()
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> Acknowledge {
        Acknowledge(self.finished.clone())
    }
}

/// The outermost layer: hands what came of a job to the committer, also when the engine itself panicked.
#[derive(Clone)]
struct Acknowledge(mpsc::Sender<Finished>);

impl<S> Layer<S> for Acknowledge {
    type Service = Acknowledged<S>;

    fn layer(&self, inner: S) -> Acknowledged<S> {
        Acknowledged { inner, finished: self.0.clone() }
    }
}

#[derive(Clone)]
struct Acknowledged<S> {
    inner: S,
    finished: mpsc::Sender<Finished>,
}

impl<S> Service<Task<StepJob>> for Acknowledged<S>
where
    S: Service<Task<StepJob>, Response = Finished>,
    S::Future: Send + 'static,
    S::Error: Into<BoxDynError>,
{
    type Response = ();
    type Error = BoxDynError;
    type Future = BoxFuture<'static, Result<(), BoxDynError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxDynError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, task: Task<StepJob>) -> Self::Future {
        let job = task.args.clone();
        let finished = self.finished.clone();
        let work = AssertUnwindSafe(self.inner.call(task)).catch_unwind();
        Box::pin(async move {
            let done = match work.await {
                Ok(Ok(done)) => done,
                Ok(Err(error)) => {
                    held(job, format!("the worker could not run the step: {}", error.into()))
                }
                Err(_panic) => held(job, "the worker panicked while it ran the step".into()),
            };
            finished.send(done).await?;
            Ok(())
        })
    }
}
