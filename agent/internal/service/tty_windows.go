package service

import "golang.org/x/sys/windows"

// notifyText does nothing: every sign-in has a desktop here.
func notifyText(tty, line string) {}

func ownID() string {
	u, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return ""
	}
	return u.User.Sid.String()
}
