//! `decent relay`: runs a relay until it is asked to stop.

use serde_json::json;
use tokio::io::AsyncReadExt;

use crate::args::RelayArgs;
use crate::error::CliError;
use crate::print::Printer;
use crate::render::clean;
use crate::{profile, signals};

/// Runs a relay.
///
/// # Errors
/// When it cannot listen, its folder cannot be used, or it fails while running.
pub(crate) async fn run(args: &RelayArgs, printer: Printer) -> Result<(), CliError> {
    let data = match &args.data {
        Some(dir) => dir.clone(),
        None => profile::data_dir("decent-relay")?,
    };
    let config = relay::server::Config {
        data,
        listen: args.listen.clone(),
    };
    let bare = args.print_address;
    let ready = |address: &str| {
        let printed = if printer.json {
            printer.row(&json!({"type": "listening", "address": address}))
        } else if bare {
            printer.text(&format!("{address}\n"))
        } else {
            printer.text(&format!("listening on {}\n", clean::line(address)))
        };
        // the relay serves on when nobody reads what it prints
        let _ = printed;
    };
    relay::server::serve(config, ready, stop(args.until_eof))
        .await
        .map_err(|error| CliError::Relay {
            why: error.to_string(),
        })
}

/// Returns when the relay should stop.
async fn stop(until_eof: bool) {
    if !until_eof {
        return signals::stop().await;
    }
    tokio::select! {
        () = signals::stop() => {}
        () = end_of_input() => {}
    }
}

async fn end_of_input() {
    let mut stdin = tokio::io::stdin();
    let mut sink = [0; 64];
    while matches!(stdin.read(&mut sink).await, Ok(bytes) if bytes > 0) {}
}
