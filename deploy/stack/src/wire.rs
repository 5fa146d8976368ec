//! One question to a server and the first bytes of its answer: enough to see that it serves.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a server that is up may take to answer the question.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Far more than any answer here has.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Asks `question` and reads until `is_whole` says that the answer is there, or the server hangs up.
pub fn ask(
    address: SocketAddr,
    question: &[u8],
    is_whole: impl Fn(&[u8]) -> bool,
) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_WITHIN)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    stream.write_all(question)?;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while !is_whole(&answer) && answer.len() < ANSWER_BYTES_MAX {
        match stream.read(&mut buffer)? {
            0 => break,
            read => answer.extend_from_slice(&buffer[..read]),
        }
    }
    Ok(answer)
}
