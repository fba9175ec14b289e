//! What becomes of the command when its output is cut.

use std::error::Error;
use std::process::{Command, Stdio};

#[test]
fn whoever_stops_reading_gets_no_error() -> Result<(), Box<dyn Error>> {
    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    let ran = Command::new(env!("CARGO_BIN_EXE_sim"))
        .arg("scenarios")
        .stdout(writer)
        .stderr(Stdio::piped())
        .output()?;
    assert_eq!(String::from_utf8_lossy(&ran.stderr), "");
    assert!(ran.status.success(), "{}", ran.status);
    Ok(())
}
