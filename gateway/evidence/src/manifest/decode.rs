//! The one place where payload bytes are decompressed: every frame and member, never more than announced.

use std::io;

use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{DParameter, InBuffer, Operation, OutBuffer};

use super::MediaType;

const OUTPUT: usize = 128 * 1024;
/// 8 MiB, the largest window that zstd frames may ask for.
const WINDOW_LOG: u32 = 23;
const GZIP_WINDOW_BITS: u8 = 15;

pub(super) struct Decoder {
    format: Format,
    output: Vec<u8>,
    /// Within a frame or member: more input must come.
    open: bool,
}

enum Format {
    Identity,
    Gzip(Box<Decompress>),
    Zstd(zstd::stream::raw::Decoder<'static>),
}

/// The bytes are not of the announced encoding.
#[derive(Debug)]
pub(super) struct Undecodable;

impl Decoder {
    pub(super) fn new(media_type: MediaType) -> io::Result<Self> {
        let format = match media_type {
            MediaType::Identity => Format::Identity,
            MediaType::Gzip => Format::Gzip(Box::new(Decompress::new_gzip(GZIP_WINDOW_BITS))),
            MediaType::Zstd => {
                let mut decoder = zstd::stream::raw::Decoder::new()?;
                decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG))?;
                Format::Zstd(decoder)
            }
        };
        let output = if media_type == MediaType::Identity { Vec::new() } else { vec![0; OUTPUT] };
        Ok(Self { format, output, open: false })
    }

    /// Decodes all of `input`, handing each piece of output to `sink`.
    pub(super) fn decode<E: From<Undecodable>>(
        &mut self,
        input: &[u8],
        mut sink: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        match &mut self.format {
            Format::Identity => sink(input),
            Format::Gzip(inflate) => {
                let mut rest = input;
                loop {
                    if rest.is_empty() && !self.open {
                        return Ok(());
                    }
                    let (read, wrote) = (inflate.total_in(), inflate.total_out());
                    let status = inflate
                        .decompress(rest, &mut self.output, FlushDecompress::None)
                        .map_err(|_| Undecodable)?;
                    let read = (inflate.total_in() - read) as usize;
                    let wrote = (inflate.total_out() - wrote) as usize;
                    rest = &rest[read..];
                    sink(&self.output[..wrote])?;
                    self.open = status != Status::StreamEnd;
                    if !self.open {
                        **inflate = Decompress::new_gzip(GZIP_WINDOW_BITS);
                    } else if wrote < self.output.len() && rest.is_empty() {
                        return Ok(());
                    } else if read == 0 && wrote == 0 {
                        return Err(Undecodable.into());
                    }
                }
            }
            Format::Zstd(decoder) => {
                let mut rest = InBuffer::around(input);
                loop {
                    if rest.pos() == input.len() && !self.open {
                        return Ok(());
                    }
                    let mut output = OutBuffer::around(self.output.as_mut_slice());
                    let hint = decoder.run(&mut rest, &mut output).map_err(|_| Undecodable)?;
                    sink(output.as_slice())?;
                    self.open = hint != 0;
                    if self.open && rest.pos() == input.len() && output.pos() < OUTPUT {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Whether the input ended at the end of a frame or member.
    pub(super) fn is_complete(&self) -> bool {
        !self.open
    }
}
