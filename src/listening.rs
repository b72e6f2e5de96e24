//! Listening: a port that is taken before anything else is done, answers until told to stop, and the signals that
//! tell it.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, anyhow};
use axum::Router;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Takes a port.
pub(crate) async fn take(address: IpAddr, port: u16) -> Result<TcpListener> {
    let bound = TcpListener::bind(SocketAddr::from((address, port))).await;
    bound.map_err(|error| {
        if error.kind() == ErrorKind::AddrInUse {
            return anyhow!(
                "port {port} is taken; stop what listens there, or take another: --port 3001, or --port 0 for any"
            );
        }
        anyhow!(
            "can't listen on port {port} of {address}: {error}; take an address of this machine and a port that is free"
        )
    })
}

/// Tells everybody to stop at the first Ctrl-C or SIGTERM.
pub(crate) fn stop_on_signals(stop: &CancellationToken) -> Result<()> {
    let (mut interrupted, mut terminated) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let stop = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
        stop.cancel();
    });
    Ok(())
}

/// Answers in the background. Told to stop, it takes nobody in any more, and ends with the last answer.
pub(crate) fn serve(
    listener: TcpListener,
    router: Router,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<()> {
    let address = listener.local_addr().context("a port that was taken has an address")?;
    // Answers are small: the network must not wait for more of them.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::trace!(%error, "a connection waits for more before it sends");
        }
    });
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let stop = stop.clone();
    tasks.spawn(async move {
        let served =
            axum::serve(listener, service).with_graceful_shutdown(stop.cancelled_owned()).await;
        if let Err(error) = served {
            tracing::error!(%error, %address, "the API ended");
        }
    });
    Ok(())
}
