//! After the last crash: is the register what the journal says?

use std::path::Path;

use xinqiao_exchange::register::merge;
use xinqiao_node::keyring::Keyring;
use xinqiao_store::{DataDir, Register, RegisterOptions};

use crate::site::Site;

/// Compares the register that lived through every crash with one that is built anew. The node is not running, before and after. How
/// many keys they have.
pub(super) fn compare(site: &Site) -> u64 {
    let kept = read(site);
    {
        let dir = DataDir::open(site.data()).expect("nobody else has the data directory");
        Register::discard(&dir).expect("a register can be deleted");
    }
    let node = site.start();
    assert!(node.stop(), "the node stops cleanly");
    let built = read(site);
    assert!(kept == built, "the register that was kept and one built anew differ");
    kept.len() as u64
}

/// Every key with what is known under it.
fn read(site: &Site) -> Vec<([u8; 16], Vec<u8>)> {
    let keys = Keyring::load(&site.node.join("keys")).expect("the node's keys are there").at_rest();
    let dir = DataDir::open(site.data()).expect("nobody else has the data directory");
    let opened = Register::open(&dir, &keys, merge, RegisterOptions::default());
    let (register, through) = opened.expect("the register is sound");
    assert!(through.is_some(), "{} has a register", Path::display(&site.data()));
    register.verify().expect("its pages are sound");
    let mut all = Vec::new();
    register.dump(&mut |key, value| all.push((*key, value.to_vec()))).expect("it can be read");
    all
}
