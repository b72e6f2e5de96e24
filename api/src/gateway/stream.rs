//! Bodies that pass through: one tells how far it is, one keeps its turn until its end.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tower_http::timeout::TimeoutBody;

const SENDING: u8 = 0;
const SENT: u8 = 1;
const BROKEN: u8 = 2;

/// How far the body of a request is.
pub(super) struct Progress(AtomicU8);

impl Progress {
    /// Whether all of it was passed on.
    pub(super) fn is_sent(&self) -> bool {
        self.0.load(Ordering::Relaxed) == SENT
    }

    /// Whether whoever sends it ended too early.
    pub(super) fn is_broken(&self) -> bool {
        self.0.load(Ordering::Relaxed) == BROKEN
    }
}

/// A request's body that tells how far it is.
pub(super) struct Watched {
    body: Body,
    progress: Arc<Progress>,
}

impl Watched {
    pub(super) fn new(body: Body) -> (Self, Arc<Progress>) {
        let begun = if body.is_end_stream() { SENT } else { SENDING };
        let progress = Arc::new(Progress(AtomicU8::new(begun)));
        (Self { body, progress: Arc::clone(&progress) }, progress)
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let reached = match &frame {
            None => SENT,
            Some(Err(_)) => BROKEN,
            // A body of a known length is not asked again after its last frame.
            Some(Ok(_)) if self.body.is_end_stream() => SENT,
            Some(Ok(_)) => SENDING,
        };
        self.progress.0.store(reached, Ordering::Relaxed);
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer's body that may not stand still, and keeps its turn until it ends.
pub(super) struct Held {
    body: Pin<Box<TimeoutBody<Body>>>,
    _turn: OwnedSemaphorePermit,
}

impl Held {
    /// Each part of it comes within this time.
    pub(super) fn new(body: Body, within: Duration, turn: OwnedSemaphorePermit) -> Self {
        Self { body: Box::pin(TimeoutBody::new(within, body)), _turn: turn }
    }
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.body.as_mut().poll_frame(cx)
    }
}
