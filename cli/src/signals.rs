//! Being asked to stop.

/// Returns when the keyboard or the system asks the program to end; never when neither can be heard.
#[cfg(unix)]
pub(crate) async fn stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return keyboard().await;
    };
    tokio::select! {
        () = keyboard() => {}
        _ = terminate.recv() => {}
    }
}

/// Returns when the keyboard asks the program to end; never when it cannot be heard.
#[cfg(not(unix))]
pub(crate) async fn stop() {
    keyboard().await;
}

async fn keyboard() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
