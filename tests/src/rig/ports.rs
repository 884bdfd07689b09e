//! Ports that no other rig has.

use std::net::{Ipv4Addr, TcpListener};

/// A block of ports on the loopback address, ours until dropped.
#[derive(Debug)]
pub(super) struct Ports {
    /// Listens on the block's first port: that is what tells other rigs that the block is taken.
    _claim: TcpListener,
    first: u16,
}

impl Ports {
    /// Takes a block of [`BLOCK`] ports of which none is in use.
    pub(super) fn take() -> Self {
        // Rigs start in different places, so that they seldom try each other's blocks.
        let offset = u16::try_from(std::process::id() % u32::from(BLOCKS)).unwrap_or(0);
        for number in 0..BLOCKS {
            let start = FIRST + (offset + number) % BLOCKS * BLOCK;
            let Ok(claim) = TcpListener::bind((Ipv4Addr::LOCALHOST, start)) else {
                continue;
            };
            let is_free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
            if (start + 1..start + BLOCK).all(is_free) {
                return Self {
                    _claim: claim,
                    first: start + 1,
                };
            }
        }
        panic!("no {BLOCK} free ports in a row");
    }

    /// The first port of the block that may be used.
    pub(super) fn first(&self) -> u16 {
        self.first
    }

    /// Every port of the block that may be used.
    pub(super) fn all(&self) -> impl Iterator<Item = u16> {
        self.first..self.first + BLOCK - 1
    }
}

/// Ports per rig: one for the claim, the rest for its children.
const BLOCK: u16 = 32;

/// How many blocks there are.
const BLOCKS: u16 = 370;

/// The first port of the first block. The last block ends below 32768, where the kernel takes ports
/// for outgoing connections from.
const FIRST: u16 = 20_800;
