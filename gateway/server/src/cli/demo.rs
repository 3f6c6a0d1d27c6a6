//! `demo`.
use super::Failure;
use clap::Args;
#[derive(Args)]
pub(crate) struct Demo {}
impl Demo {
    pub(crate) fn run(self) -> Result<(), Failure> {
        Ok(())
    }
}
