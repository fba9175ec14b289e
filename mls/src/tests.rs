//! Groups of a few devices, honest and hostile.

mod cases;
mod determinism;
mod external;
mod forge;
mod hostile;
mod lifecycle;
mod stored;
mod welcomes;
mod world;
