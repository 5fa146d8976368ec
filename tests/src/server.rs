//! The product as a process: the `danmu` binary, a server that runs it, and its answers as JSON.
//!
//! Uses the public surfaces alone: the command line, HTTP, signals. A server listens on ports that the
//! system chose and dies with its handle.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long a server may take until it is ready.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How often readiness is asked for.
const READY_ASKED_EVERY: Duration = Duration::from_millis(20);

/// What the binary is built with: the engines that these tests have servers for.
const FEATURES: &[&str] = match cfg!(feature = "cluster") {
    true => &["--features", "cluster"],
    false => &[],
};

/// The binary, built once a test run, in the profile that this test was built in.
pub fn danmu() -> Command {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    Command::new(BINARY.get_or_init(build))
}

fn build() -> PathBuf {
    let mut build = Command::new(env!("CARGO"));
    build
        .args(["build", "--quiet", "--package", "danmu"])
        .args(FEATURES)
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    // Variables that cargo sets for this test: build scripts that look at them (ring's does) would run
    // again, and half of the dependencies with them.
    for (name, _) in std::env::vars().filter(|(name, _)| is_of_package(name)) {
        build.env_remove(name);
    }
    let built = build.status().expect("cargo runs");
    assert!(built.success(), "the binary does not build");
    let test = std::env::current_exe().expect("a test knows its own path");
    let profile = test.ancestors().nth(2).expect("target/PROFILE/deps/TEST");
    profile.join("danmu")
}

/// Whether it is a variable that tells a package of itself.
fn is_of_package(name: &str) -> bool {
    name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
}

/// Runs a command of the binary to its end.
pub fn run(arguments: &[&str]) -> Output {
    danmu().args(arguments).output().expect("the binary runs")
}

/// The command that imports a file into a room of the server at `url`.
pub fn import(file: &Path, room: &str, url: &str) -> Command {
    let mut command = danmu();
    command
        .arg("import")
        .arg(file)
        .args(["--room", room, "--to", url])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// How an import ended: its code, what it told and of what it complained.
pub fn ended(import: Child) -> (Option<i32>, String, String) {
    let output = import.wait_with_output().expect("it ends");
    let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
    let (told, complained) = (text(output.stdout), text(output.stderr));
    (output.status.code(), told, complained)
}

/// Sends a process SIGTERM.
pub fn terminate(process: &Child) {
    let kill = format!("kill -TERM {}", process.id());
    let sent = Command::new("sh").args(["-c", &kill]).status();
    assert!(sent.expect("a shell runs").success(), "{kill}");
}

/// The number in an environment variable of the tests, `XTASK_…`, or the default: how large a test is.
pub fn size(variable: &str, default: usize) -> usize {
    let Ok(text) = std::env::var(variable) else {
        return default;
    };
    let number = text.parse();
    number.unwrap_or_else(|_| panic!("{variable} is no number: {text:?}"))
}

/// The status and the answer to JSON that is posted to a URL.
pub fn send(url: &str, body: &Value) -> (u16, Value) {
    let request = ureq::post(url).config();
    let request = request.http_status_as_error(false).build();
    let mut answer = request.send_json(body).expect("an answer");
    let told = answer.body_mut().read_json().expect("an answer is JSON");
    (answer.status().as_u16(), told)
}

/// Fails unless the data that a server left is what its log says.
pub fn assert_verified(data: &Path) {
    let data = data.to_str().expect("a path in UTF-8");
    let output = run(&["verify", "--data", data]);
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}");
}

/// A server in a process of its own.
pub struct Server {
    process: Child,
    public: String,
    admin: String,
    /// What it logs.
    lines: Receiver<String>,
}

impl Server {
    /// Starts a server over `data` and waits until it is ready.
    pub fn start(data: &Path) -> Self {
        let server = Self::start_without_waiting(data);
        server.wait_until_ready();
        server
    }

    /// Starts a server over `data`, which then has its addresses and nothing more.
    pub fn start_without_waiting(data: &Path) -> Self {
        Self::start_configured(data, |_| {})
    }

    /// The same, with more arguments or variables.
    pub fn start_configured(data: &Path, configure: impl FnOnce(&mut Command)) -> Self {
        let mut command = danmu();
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .arg("--data")
            .arg(data)
            .stderr(Stdio::piped());
        configure(&mut command);
        let mut process = command.spawn().expect("the binary runs");
        let stderr = process.stderr.take().expect("it is piped");
        let (sender, lines) = channel();
        std::thread::spawn(move || forward(stderr, &sender));
        let line = lines.iter().find(|line| line.contains("listen="));
        let line = line.expect("a server says where it listens");
        let address = |name: &str| {
            let after = line.split(name).nth(1).expect("both addresses are told");
            format!(
                "http://{}",
                after.split_whitespace().next().unwrap_or_default()
            )
        };
        Self {
            public: address(" listen="),
            admin: address(" admin="),
            process,
            lines,
        }
    }

    /// Waits for the next line of the log with `text`; the lines up to it.
    pub fn wait_for_line(&self, text: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.lines.recv_timeout(READY_WITHIN);
            lines.push(line.unwrap_or_else(|_| panic!("no line with {text:?} in time")));
            if lines.last().is_some_and(|line| line.contains(text)) {
                return lines;
            }
        }
    }

    /// Whether the server says that it is ready.
    pub fn is_ready(&self) -> bool {
        ureq::get(format!("{}/readyz", self.admin)).call().is_ok()
    }

    /// What the server says to the question whether it is ready.
    fn readiness(&self) -> String {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build()
            .into();
        let answer = agent.get(format!("{}/readyz", self.admin)).call();
        match answer.and_then(|mut answer| answer.body_mut().read_to_string()) {
            Ok(text) => text,
            Err(error) => error.to_string(),
        }
    }

    /// Waits until the windows stand where the log ended at the start.
    pub fn wait_until_ready(&self) {
        let deadline = Instant::now() + READY_WITHIN;
        while !self.is_ready() {
            assert!(
                Instant::now() < deadline,
                "not ready in time: {}\n{:#?}",
                self.readiness(),
                self.lines.try_iter().collect::<Vec<_>>()
            );
            std::thread::sleep(READY_ASKED_EVERY);
        }
    }

    /// The public listener's address.
    pub fn url(&self) -> &str {
        &self.public
    }

    /// The admin listener's address.
    pub fn admin_url(&self) -> &str {
        &self.admin
    }

    /// The process's id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// How many bytes of memory the process holds at the moment.
    pub fn rss_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.process.id());
        let status = std::fs::read_to_string(path).expect("the process is there");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kib: u64 = kib.and_then(|kib| kib.parse().ok()).expect("kibibytes");
        kib * 1_024
    }

    /// The value of a series of the metrics, named with its labels.
    pub fn metric(&self, series: &str) -> f64 {
        let answer = ureq::get(format!("{}/metrics", self.admin)).call();
        let mut answer = answer.expect("metrics are told");
        let told = answer.body_mut().read_to_string().expect("they are text");
        let value = told.lines().find_map(|line| line.strip_prefix(series));
        let value = value.and_then(|value| value.trim().parse().ok());
        value.unwrap_or_else(|| panic!("no series {series}"))
    }

    /// What the server answers to a GET; the test fails unless it is 200.
    pub fn get(&self, path: &str) -> Value {
        serde_json::from_str(&self.text(path)).expect("an answer is JSON")
    }

    /// The same as text.
    pub fn text(&self, path: &str) -> String {
        let answer = ureq::get(format!("{}{path}", self.public)).call();
        let mut answer = answer.unwrap_or_else(|error| panic!("GET {path}: {error}"));
        answer
            .body_mut()
            .read_to_string()
            .expect("an answer is text")
    }

    /// What the server answers to a GET, once `is_so`.
    pub fn wait_for(&self, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let answer = self.get(path);
            if is_so(&answer) {
                return answer;
            }
            assert!(Instant::now() < deadline, "not in time: {answer:#}");
            std::thread::sleep(READY_ASKED_EVERY);
        }
    }

    /// What the server answers to JSON; the test fails unless it is 200.
    pub fn post(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.send(path, body);
        assert_eq!(status, 200, "POST {path} {body}: {answer:#}");
        answer
    }

    /// The problem that the server answers to JSON; the test fails if it takes it.
    pub fn refusal(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.send(path, body);
        assert!(status >= 400, "POST {path} {body}: {answer:#}");
        answer
    }

    /// The status and the answer to JSON.
    pub fn send(&self, path: &str, body: &Value) -> (u16, Value) {
        send(&format!("{}{path}", self.public), body)
    }

    /// Imports a file into a room; the test fails unless every entry is accounted for.
    pub fn import(&self, file: &Path, room: &str) {
        let child = import(file, room, self.url()).spawn();
        let (code, told, complained) = ended(child.expect("the binary runs"));
        assert_eq!(code, Some(0), "{told}{complained}");
    }

    /// Every event of a room, page by page from its first, at full density: once the server is not too
    /// loaded for that.
    pub fn events(&self, room: &str) -> Vec<Value> {
        let mut events = Vec::new();
        let mut cursor = "0".to_owned();
        loop {
            let path = format!("/v1/rooms/{room}/events?after={cursor}&limit=500&density=full");
            let mut page = self.get_when_served(&path);
            let Value::Array(part) = page["events"].take() else {
                panic!("a page has events")
            };
            if part.is_empty() {
                return events;
            }
            events.extend(part);
            cursor = page["cursor"]
                .as_str()
                .expect("a page has a cursor")
                .to_owned();
        }
    }

    /// What the server answers to a GET, once it is not overloaded.
    fn get_when_served(&self, path: &str) -> Value {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let request = ureq::get(format!("{}{path}", self.public)).config();
            let request = request.http_status_as_error(false).build();
            let mut answer = request.call().expect("an answer");
            let told: Value = answer.body_mut().read_json().expect("an answer is JSON");
            if answer.status() == 200 {
                return told;
            }
            let is_overloaded = told["type"] == "urn:danmu:problem:overloaded";
            assert!(is_overloaded && Instant::now() < deadline, "{path}: {told}");
            std::thread::sleep(READY_ASKED_EVERY);
        }
    }

    /// Stops the server as its machine does, with SIGTERM: how it ended, and every line that it logged.
    pub fn terminate(self) -> (ExitStatus, Vec<String>) {
        terminate(&self.process);
        self.ended()
    }

    /// Waits until the server has ended by itself: how, and every line that it logged.
    pub fn ended(mut self) -> (ExitStatus, Vec<String>) {
        let status = self.process.wait().expect("it ends");
        (status, self.lines.iter().collect())
    }

    /// Ends the server with `kill -9`; the lines that it logged and nobody has waited for.
    pub fn kill(mut self) -> Vec<String> {
        self.process.kill().expect("it can be killed");
        self.process.wait().expect("it ends");
        self.lines.iter().collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A server that has ended already cannot be killed again, which is as it should be.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Passes on what a process logs. What is not read would block it once the pipe is full.
fn forward(stderr: ChildStderr, lines: &Sender<String>) {
    for line in BufReader::new(stderr).lines() {
        // A server may outlive whoever wanted its lines.
        let _ = lines.send(line.expect("logs are UTF-8"));
    }
}
