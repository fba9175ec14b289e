//! `decent`: the terminal program.
//!
//! A shell and nothing else: it parses what was said, asks `node`, and prints what
//! came back. No rule of a Space lives here.
//!
//! - `args`: what can be said; `execute`: doing it; `output`, `render`: printing it.
//! - `shell`, `follow`: staying open; `relay`, `demo`: other programs in the same file; `desktop`: one beside it.
//! - `api`: every name of `node` that is used, in one place.

mod api;
mod args;
mod audit;
mod completions;
mod demo;
mod desktop;
mod duration;
mod error;
mod execute;
mod files;
mod follow;
mod output;
mod print;
mod profile;
mod progress;
mod relay;
mod render;
mod resolve;
#[cfg(test)]
mod samples;
mod shell;
mod signals;
mod size;
mod words;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{AuditCmd, Cli, Cmd, Globals, Top};
use crate::error::CliError;
use crate::execute::Context;
use crate::print::Printer;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(refusal) => {
            // help and version end with 0, mistakes with 2
            let code = if refusal.use_stderr() { 2 } else { 0 };
            // nobody is left to tell when the terminal is gone
            let _ = refusal.print();
            return ExitCode::from(code);
        }
    };
    log();
    let printer = Printer::new(cli.globals.json);
    match run(cli, printer) {
        Ok(code) => code,
        Err(CliError::Output(gone)) if gone.source.kind() == std::io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            printer.error(&error);
            ExitCode::from(error.code().number())
        }
    }
}

fn run(cli: Cli, printer: Printer) -> Result<ExitCode, CliError> {
    if let Top::Completions(args) = &cli.command {
        completions::print(args, printer)?;
        return Ok(ExitCode::SUCCESS);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|source| CliError::System {
            doing: "start the threads",
            source,
        })?;
    let outcome = runtime.block_on(dispatch(cli, printer));
    // a thread may still wait for standard input, which nothing can interrupt
    runtime.shutdown_background();
    outcome
}

async fn dispatch(cli: Cli, printer: Printer) -> Result<ExitCode, CliError> {
    let globals = &cli.globals;
    match cli.command {
        Top::Init(args) => profile::init(globals, &args, printer)?,
        Top::Restore(args) => profile::restore(globals, &args, printer)?,
        Top::Completions(args) => completions::print(&args, printer)?,
        Top::Relay(args) => relay::run(&args, printer).await?,
        Top::Demo(args) => demo::run(&args, printer).await?,
        Top::Desktop(args) => {
            let ran = tokio::task::block_in_place(|| desktop::run(globals, &args));
            return ran;
        }
        Top::Shell(args) => {
            let handle = profile::open(globals).await?;
            let context = Context::shell(globals, printer);
            let ended = shell::run(&handle, &args, &context, printer).await;
            handle.shutdown().await;
            return ended;
        }
        Top::Cmd(Cmd::Audit(AuditCmd::Verify(args))) => printer.output(&audit::verify(&args)?)?,
        Top::Cmd(cmd) => return one_shot(globals, cmd, printer).await,
    }
    Ok(ExitCode::SUCCESS)
}

async fn one_shot(globals: &Globals, cmd: Cmd, printer: Printer) -> Result<ExitCode, CliError> {
    let handle = profile::open(globals).await?;
    let context = Context::one_shot(globals, printer);
    let mut follow = None;
    if let Cmd::Read(args) = &cmd
        && args.follow
    {
        follow = Some(args.clone());
    }
    let following = follow.is_some();
    let work = async {
        let notices = handle.notices();
        let output = execute::execute(&handle, cmd, &context).await?;
        printer.output(&output)?;
        if let Some(args) = follow {
            follow::run(&handle, &args, notices, &output, printer).await?;
        }
        let code = output.code().map(|code| ExitCode::from(code.number()));
        Ok(code.unwrap_or(ExitCode::SUCCESS))
    };
    let ended = tokio::select! {
        ended = work => ended,
        // to stop following is what Ctrl-C is for
        () = signals::stop() => if following { Ok(ExitCode::SUCCESS) } else { Err(CliError::Interrupted) },
    };
    handle.shutdown().await;
    ended
}

/// Logs to standard error what `DECENT_LOG` asks for, like `node=debug`; nothing without it.
fn log() {
    if let Ok(filter) = tracing_subscriber::EnvFilter::try_from_env("DECENT_LOG") {
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .init();
    }
}
