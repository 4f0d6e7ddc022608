package keystore

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/windows"
)

// seal encrypts by DPAPI under the service's account.
func seal(b []byte) ([]byte, error) {
	in := windows.DataBlob{Size: uint32(len(b)), Data: unsafe.SliceData(b)}
	var out windows.DataBlob
	if err := windows.CryptProtectData(&in, nil, nil, 0, nil, windows.CRYPTPROTECT_UI_FORBIDDEN, &out); err != nil {
		return nil, err
	}
	return take(out), nil
}

func unseal(b []byte) ([]byte, error) {
	in := windows.DataBlob{Size: uint32(len(b)), Data: unsafe.SliceData(b)}
	var out windows.DataBlob
	if err := windows.CryptUnprotectData(&in, nil, nil, 0, nil, windows.CRYPTPROTECT_UI_FORBIDDEN, &out); err != nil {
		return nil, err
	}
	return take(out), nil
}

func take(d windows.DataBlob) []byte {
	b := append([]byte(nil), unsafe.Slice(d.Data, d.Size)...)
	windows.LocalFree(windows.Handle(unsafe.Pointer(d.Data)))
	return b
}

// protect lets SYSTEM, administrators and the service's own account in, and inherits nothing.
func protect(path string) error {
	sd, err := windows.SecurityDescriptorFromString("D:P(A;;FA;;;SY)(A;;FA;;;BA)(A;;FA;;;OW)")
	if err != nil {
		return err
	}
	dacl, _, err := sd.DACL()
	if err != nil {
		return err
	}
	if err := windows.SetNamedSecurityInfo(path, windows.SE_FILE_OBJECT,
		windows.DACL_SECURITY_INFORMATION|windows.PROTECTED_DACL_SECURITY_INFORMATION, nil, nil, dacl, nil); err != nil {
		return fmt.Errorf("set access list: %w", err)
	}
	return nil
}

// SyncDir does nothing: NTFS journals renames, and folders can't be flushed.
func SyncDir(string) error { return nil }
