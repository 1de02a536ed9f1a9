package tail

import "golang.org/x/sys/unix"

// silentFileSystem is the name of the file system that dir is on, if inotify tells nothing of what is
// written to it from elsewhere, or nothing at all (inotify(7)). Numbers are those of statfs(2).
func silentFileSystem(dir string) string {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return ""
	}
	return silent[uint32(st.Type)]
}

var silent = map[uint32]string{
	unix.NFS_SUPER_MAGIC:  "nfs",
	unix.SMB_SUPER_MAGIC:  "smb",
	unix.CIFS_SUPER_MAGIC: "cifs",
	unix.SMB2_SUPER_MAGIC: "smb2",
	unix.V9FS_MAGIC:       "9p",
	unix.FUSE_SUPER_MAGIC: "fuse",
	unix.CEPH_SUPER_MAGIC: "ceph",
	unix.AFS_SUPER_MAGIC:  "afs",
	unix.PROC_SUPER_MAGIC: "proc",
	unix.SYSFS_MAGIC:      "sysfs",
}
