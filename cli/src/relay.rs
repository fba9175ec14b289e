//! `decent relay`: runs a relay until it is asked to stop.

use relay::Limits;
use relay::server::{Ready, ServerConfig, serve};
use serde_json::json;
use tokio::io::AsyncReadExt;

use crate::args::RelayArgs;
use crate::error::CliError;
use crate::print::{Gone, Printer};
use crate::{profile, signals};

/// Runs a relay.
///
/// # Errors
/// When it cannot listen, its folder cannot be used, or its disk fails while running.
pub(crate) async fn run(args: &RelayArgs, printer: Printer) -> Result<(), CliError> {
    let data_dir = match &args.data {
        Some(dir) => dir.clone(),
        None => profile::data_dir("decent-relay")?,
    };
    // both keep an index and a lock under the same names
    if data_dir.join("vault.bin").exists() && !data_dir.join("identity.key").exists() {
        return Err(CliError::usage(format!(
            "{} holds a profile: give the relay a folder of its own",
            data_dir.display()
        )));
    }
    let config = ServerConfig {
        data_dir,
        listen: args.listen.clone(),
        limits: limits(args),
    };
    let bare = args.print_address;
    let ready = |ready: Ready| {
        // the relay serves on when nobody reads what it prints
        let _ = announce(&ready, bare, printer);
    };
    Ok(serve(config, stop(args.until_eof), ready).await?)
}

/// Less would leave no room for a few of the longest messages.
const MESSAGE_MEMORY_MIN: usize = 16 << 20;

/// Returns the relay's own limits, with those that the command line names in their place.
fn limits(args: &RelayArgs) -> Limits {
    let own = Limits::default();
    Limits {
        total_bytes_max: args.storage.unwrap_or(own.total_bytes_max),
        retention_secs: args.retention.map_or(own.retention_secs, |time| {
            u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
        }),
        connections_max: args
            .connections
            .map_or(own.connections_max, std::num::NonZeroUsize::get),
        address_connections_max: args
            .connections_per_address
            .map_or(own.address_connections_max, std::num::NonZeroUsize::get),
        message_bytes_max: args.message_memory.map_or(own.message_bytes_max, |bytes| {
            usize::try_from(bytes)
                .unwrap_or(usize::MAX)
                .max(MESSAGE_MEMORY_MIN)
        }),
        ..own
    }
}

fn announce(ready: &Ready, bare: bool, printer: Printer) -> Result<(), Gone> {
    for address in &ready.addrs {
        let address = address.to_string();
        if printer.json {
            printer.row(&json!({"type": "listening", "address": address}))?;
        } else if bare {
            printer.text(&format!("{address}\n"))?;
        } else {
            printer.text(&format!("listening on {address}\n"))?;
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Top};

    fn limits_of(words: &[&str]) -> Limits {
        let cli = Cli::try_parse_from([&["decent", "relay"], words].concat()).unwrap();
        let Top::Relay(args) = cli.command else {
            panic!("{words:?} is not a relay");
        };
        limits(&args)
    }

    #[test]
    fn only_the_limits_that_are_named_change() {
        assert_eq!(limits_of(&[]), Limits::default());
        let words = [
            "--storage",
            "50G",
            "--retention",
            "7d",
            "--connections",
            "100",
            "--connections-per-address",
            "9",
            "--message-memory",
            "64M",
        ];
        assert_eq!(
            limits_of(&words),
            Limits {
                total_bytes_max: 50 << 30,
                retention_secs: 7 * 86_400,
                connections_max: 100,
                address_connections_max: 9,
                message_bytes_max: 64 << 20,
                ..Limits::default()
            }
        );
        let small = limits_of(&["--message-memory", "1"]);
        assert_eq!(small.message_bytes_max, MESSAGE_MEMORY_MIN);
    }
}
