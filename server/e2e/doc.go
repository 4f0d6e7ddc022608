// Package e2e plays Traybell's story through the real programs of bin/, built by `./task build`:
// the service runs as root, employees are unprivileged users made for the test, the desktop is a
// real X server with a panel, the portal is opened in Chromium. Its tests need root and the packages
// that tools/setup installs; without them they fail and say which is missing.
package e2e
