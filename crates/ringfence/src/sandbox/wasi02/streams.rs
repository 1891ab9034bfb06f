//! Files as streams of WASI 0.2. They never wait: the host's files are ready.

use bytes::Bytes;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

use crate::sandbox::components::{FileReader, FileWriter, PIECE_BYTES, failed};

#[async_trait]
impl Pollable for FileReader {
    async fn ready(&mut self) {}
}

impl InputStream for FileReader {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        let mut buffer = vec![0; size.min(PIECE_BYTES)];
        match FileReader::read(self, &mut buffer).map_err(failed)? {
            0 if size > 0 => Err(StreamError::Closed),
            count => {
                buffer.truncate(count);
                Ok(buffer.into())
            }
        }
    }
}

#[async_trait]
impl Pollable for FileWriter {
    async fn ready(&mut self) {}
}

impl OutputStream for FileWriter {
    fn write(&mut self, mut bytes: Bytes) -> StreamResult<()> {
        while !bytes.is_empty() {
            let wrote = FileWriter::write(self, &bytes).map_err(failed)?;
            drop(bytes.split_to(wrote));
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PIECE_BYTES)
    }
}
