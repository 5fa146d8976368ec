//! What the servers are made of, brought here where it is missing.
//!
//! Programs are Debian packages, installed as root or named in the error; jars come by Maven into
//! the cache, whole or not at all.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cache;

/// Group, name and version of what Maven knows.
pub type Artifact = (&'static str, &'static str, &'static str);

const DEPENDENCY_PLUGIN: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1";

/// The Java that Kafka and Cassandra both run on.
const JAVA_VERSION: &str = "17";

/// Where `program` is; installed from `package` if it is nowhere.
pub fn program(program: &str, package: &str) -> Result<PathBuf> {
    if let Some(found) = found(program) {
        return Ok(found);
    }
    install(package).with_context(|| {
        format!("{program} is needed and was not found: apt-get install {package}")
    })?;
    found(program).with_context(|| format!("{package} was installed, but has no {program}"))
}

/// Has the headers of a C library here; where packages cannot be installed, the build says what it
/// misses.
pub fn library(header: &str, package: &str) -> Result<()> {
    let is_here = Path::new("/usr/include").join(header).exists();
    if is_here || !can_install() {
        return Ok(());
    }
    install(package)
}

/// A Java of the right version, the default one or another that is installed.
pub fn java() -> Result<PathBuf> {
    if let Some(java) = installed_java() {
        return Ok(java);
    }
    let package = format!("openjdk-{JAVA_VERSION}-jre-headless");
    install(&package).with_context(|| format!("Java {JAVA_VERSION} is needed: {package}"))?;
    installed_java().with_context(|| format!("{package} was installed, but is not found"))
}

/// The directory with the jars of `artifacts` and of all that they need.
pub fn jars(name: &str, artifacts: &[Artifact]) -> Result<PathBuf> {
    let all = cache()?.join("jars");
    let directory = all.join(name);
    fs::create_dir_all(&all)?;
    // Tests start servers side by side: one of them fetches, the others wait for it.
    let lock = File::create(all.join("lock"))?;
    lock.lock()?;
    if directory.exists() {
        return Ok(directory);
    }
    let maven = program("mvn", "maven")?;
    eprintln!("fetching the jars of {name}");
    let part = tempfile::Builder::new().prefix("part-").tempdir_in(&all)?;
    let project = part.path().join("pom.xml");
    let fetched = part.path().join("jars");
    fs::write(&project, project_of(name, artifacts))?;
    let goal = format!("{DEPENDENCY_PLUGIN}:copy-dependencies");
    output(
        Command::new(maven)
            .args(["--quiet", "--batch-mode", "--file"])
            .arg(&project)
            .arg(goal)
            .arg("-DincludeScope=runtime")
            .arg(format!("-DoutputDirectory={}", fetched.display())),
    )?;
    fs::rename(&fetched, &directory)?;
    Ok(directory)
}

/// What a command prints; an error with what it said unless it ends well.
pub fn output(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_owned();
    let output = command
        .output()
        .with_context(|| format!("running {program:?}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    ensure!(
        output.status.success(),
        "{program:?} failed: {}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    Ok(text(&output.stdout))
}

fn found(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let candidates = std::env::split_paths(&path).map(|directory| directory.join(program));
    candidates.into_iter().find(|file| file.is_file())
}

fn installed_java() -> Option<PathBuf> {
    let installed = fs::read_dir("/usr/lib/jvm").into_iter().flatten().flatten();
    let installed = installed.map(|java| java.path().join("bin/java"));
    found("java")
        .into_iter()
        .chain(installed)
        .find(|java| is_right(java))
}

fn is_right(java: &Path) -> bool {
    let version = output(Command::new(java).arg("--version"));
    version.is_ok_and(|text| text.contains(&format!(" {JAVA_VERSION}.")))
}

fn can_install() -> bool {
    rustix::process::geteuid().is_root() && found("apt-get").is_some()
}

fn install(package: &str) -> Result<()> {
    ensure!(
        can_install(),
        "packages can be installed here only as root, with apt-get"
    );
    eprintln!("installing {package}");
    output(Command::new("apt-get").args(["update", "-qq"]))?;
    output(
        Command::new("apt-get")
            .args(["install", "-y", "-qq", "--no-install-recommends"])
            .args(["-o", "DPkg::Lock::Timeout=600", package])
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )?;
    Ok(())
}

fn project_of(name: &str, artifacts: &[Artifact]) -> String {
    let dependencies = artifacts.iter().map(|(group, artifact, version)| {
        format!(
            "    <dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>\
             <version>{version}</version></dependency>\n"
        )
    });
    let dependencies: String = dependencies.collect();
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\">\n  \
         <modelVersion>4.0.0</modelVersion>\n  <groupId>danmu</groupId>\n  \
         <artifactId>{name}</artifactId>\n  <version>1</version>\n  \
         <dependencies>\n{dependencies}  </dependencies>\n</project>\n"
    )
}
