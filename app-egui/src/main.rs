//! `decent-desktop`: the app in a window.

use std::path::PathBuf;
use std::process::ExitCode;

use app_egui::notify::Notifier;
use app_egui::{DesktopApp, Settings, picture};
use clap::{ArgAction, Parser, ValueHint};
use egui::ViewportBuilder;

/// Decent in a window: private communities without a server in the middle.
#[derive(Debug, Parser)]
#[command(name = "decent-desktop", version)]
struct Args {
    /// Folder of the profile [default: decent in the XDG data folder, ~/.local/share/decent].
    #[arg(long, env = "DECENT_PROFILE", value_name = "DIR", value_hint = ValueHint::DirPath)]
    profile: Option<PathBuf>,
    /// Connect to nothing; what is written is sent another time.
    #[arg(long)]
    offline: bool,
    /// Use this relay too, besides the stored ones; may be given again.
    #[arg(long, value_name = "ADDR", action = ArgAction::Append)]
    relay: Vec<String>,
    /// Decode one picture from standard input, no side longer than this; the window runs itself so.
    #[arg(long, value_name = "PIXELS", hide = true)]
    decode_picture: Option<u32>,
    /// An invite to look at first.
    #[arg(value_name = "LINK")]
    link: Option<String>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(side) = args.decode_picture {
        return ExitCode::from(u8::from(picture::decoder(side).is_err()));
    }
    log();
    let Some(dir) = args.profile.or_else(data_dir) else {
        // Before there is a window.
        eprintln!("no home folder: give --profile DIR");
        return ExitCode::from(2);
    };
    let settings = Settings {
        dir,
        offline: args.offline,
        relays: args.relay,
        link: args.link,
        decoder: std::env::current_exe().ok(),
        downloads: downloads(),
        dialogs: true,
        notifier: Some(Notifier::desktop()),
    };
    match run(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("no window: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(settings: Settings) -> eframe::Result {
    let icon = eframe::icon_data::from_png_bytes(include_bytes!("../assets/icon.png"));
    let mut viewport = ViewportBuilder::default()
        .with_title("Decent")
        .with_app_id("decent-desktop")
        .with_inner_size([1280.0, 800.0])
        .with_min_inner_size([640.0, 480.0]);
    if let Ok(icon) = icon {
        viewport = viewport.with_icon(icon);
    }
    let options = eframe::NativeOptions {
        viewport,
        renderer: eframe::Renderer::Glow,
        ..eframe::NativeOptions::default()
    };
    eframe::run_native(
        "Decent",
        options,
        Box::new(move |creation| {
            let ctx = creation.egui_ctx.clone();
            let app = DesktopApp::new(settings, move || ctx.request_repaint())?;
            Ok(Box::new(app))
        }),
    )
}

/// The folder `decent` of the XDG data folder (XDG Base Directory Specification 0.8).
fn data_dir() -> Option<PathBuf> {
    let of = |variable: &str| {
        let path = std::env::var_os(variable).map(PathBuf::from);
        path.filter(|path| path.is_absolute())
    };
    of("XDG_DATA_HOME")
        .or_else(|| of("HOME").map(|home| home.join(".local").join("share")))
        .map(|data| data.join("decent"))
}

/// The folder of downloads (xdg-user-dirs), else `Downloads` in the home folder.
fn downloads() -> Option<PathBuf> {
    let home = PathBuf::from(std::env::var_os("HOME")?);
    let config = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    let config = config.filter(|path| path.is_absolute());
    let config = config.unwrap_or_else(|| home.join(".config"));
    let dirs = std::fs::read_to_string(config.join("user-dirs.dirs")).unwrap_or_default();
    let named = dirs.lines().find_map(|line| {
        let path = line.trim().strip_prefix("XDG_DOWNLOAD_DIR=")?;
        let path = path.trim_matches('"');
        Some(match path.strip_prefix("$HOME/") {
            Some(rest) => home.join(rest),
            None => PathBuf::from(path),
        })
    });
    let named = named.filter(|path| path.is_absolute());
    Some(named.unwrap_or_else(|| home.join("Downloads")))
}

/// Logs to standard error what `DECENT_LOG` asks for; nothing without it.
fn log() {
    if let Ok(filter) = tracing_subscriber::EnvFilter::try_from_env("DECENT_LOG") {
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .init();
    }
}
