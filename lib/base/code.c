/* SPDX-License-Identifier: MIT */
/* code.c - names of error codes and sentences about them.
 *
 * One row a code, and all that is told of it comes from there. errno's codes stand here too,
 * rather than in strerror(): its text may live in a buffer that the next call overwrites,
 * strerror_r() has two incompatible forms, strerrorname_np() is glibc's alone, and none of
 * them may be called where a message is needed most, in a signal handler. The rows name the
 * codes, because their numbers differ between architectures; the texts are glibc's, in
 * English in every locale. getaddrinfo()'s are here for the same reasons.
 *
 * Left out are second names of one number (EWOULDBLOCK, ENOTSUP). */
#include <errno.h>
#include <netdb.h>
#include "base/error.h"

struct code {
	const char *name, *text;
};

#define ERRNO(code, text) [code] = {#code, text}
#define KNIT(code, text)  [code - KNIT_ECANCELLED] = {#code, text}
#define EAI(code, text)   [-(code)] = {#code, text}

static const struct code errno_codes[] = {
        ERRNO(EPERM, "Operation not permitted"),
        ERRNO(ENOENT, "No such file or directory"),
        ERRNO(ESRCH, "No such process"),
        ERRNO(EINTR, "Interrupted system call"),
        ERRNO(EIO, "Input/output error"),
        ERRNO(ENXIO, "No such device or address"),
        ERRNO(E2BIG, "Argument list too long"),
        ERRNO(ENOEXEC, "Exec format error"),
        ERRNO(EBADF, "Bad file descriptor"),
        ERRNO(ECHILD, "No child processes"),
        ERRNO(EAGAIN, "Resource temporarily unavailable"),
        ERRNO(ENOMEM, "Cannot allocate memory"),
        ERRNO(EACCES, "Permission denied"),
        ERRNO(EFAULT, "Bad address"),
        ERRNO(ENOTBLK, "Block device required"),
        ERRNO(EBUSY, "Device or resource busy"),
        ERRNO(EEXIST, "File exists"),
        ERRNO(EXDEV, "Invalid cross-device link"),
        ERRNO(ENODEV, "No such device"),
        ERRNO(ENOTDIR, "Not a directory"),
        ERRNO(EISDIR, "Is a directory"),
        ERRNO(EINVAL, "Invalid argument"),
        ERRNO(ENFILE, "Too many open files in system"),
        ERRNO(EMFILE, "Too many open files"),
        ERRNO(ENOTTY, "Inappropriate ioctl for device"),
        ERRNO(ETXTBSY, "Text file busy"),
        ERRNO(EFBIG, "File too large"),
        ERRNO(ENOSPC, "No space left on device"),
        ERRNO(ESPIPE, "Illegal seek"),
        ERRNO(EROFS, "Read-only file system"),
        ERRNO(EMLINK, "Too many links"),
        ERRNO(EPIPE, "Broken pipe"),
        ERRNO(EDOM, "Numerical argument out of domain"),
        ERRNO(ERANGE, "Numerical result out of range"),
        ERRNO(EDEADLK, "Resource deadlock avoided"),
        ERRNO(ENAMETOOLONG, "File name too long"),
        ERRNO(ENOLCK, "No locks available"),
        ERRNO(ENOSYS, "Function not implemented"),
        ERRNO(ENOTEMPTY, "Directory not empty"),
        ERRNO(ELOOP, "Too many levels of symbolic links"),
        ERRNO(ENOMSG, "No message of desired type"),
        ERRNO(EIDRM, "Identifier removed"),
        ERRNO(ECHRNG, "Channel number out of range"),
        ERRNO(EL2NSYNC, "Level 2 not synchronized"),
        ERRNO(EL3HLT, "Level 3 halted"),
        ERRNO(EL3RST, "Level 3 reset"),
        ERRNO(ELNRNG, "Link number out of range"),
        ERRNO(EUNATCH, "Protocol driver not attached"),
        ERRNO(ENOCSI, "No CSI structure available"),
        ERRNO(EL2HLT, "Level 2 halted"),
        ERRNO(EBADE, "Invalid exchange"),
        ERRNO(EBADR, "Invalid request descriptor"),
        ERRNO(EXFULL, "Exchange full"),
        ERRNO(ENOANO, "No anode"),
        ERRNO(EBADRQC, "Invalid request code"),
        ERRNO(EBADSLT, "Invalid slot"),
        ERRNO(EBFONT, "Bad font file format"),
        ERRNO(ENOSTR, "Device not a stream"),
        ERRNO(ENODATA, "No data available"),
        ERRNO(ETIME, "Timer expired"),
        ERRNO(ENOSR, "Out of streams resources"),
        ERRNO(ENONET, "Machine is not on the network"),
        ERRNO(ENOPKG, "Package not installed"),
        ERRNO(EREMOTE, "Object is remote"),
        ERRNO(ENOLINK, "Link has been severed"),
        ERRNO(EADV, "Advertise error"),
        ERRNO(ESRMNT, "Srmount error"),
        ERRNO(ECOMM, "Communication error on send"),
        ERRNO(EPROTO, "Protocol error"),
        ERRNO(EMULTIHOP, "Multihop attempted"),
        ERRNO(EDOTDOT, "RFS specific error"),
        ERRNO(EBADMSG, "Bad message"),
        ERRNO(EOVERFLOW, "Value too large for defined data type"),
        ERRNO(ENOTUNIQ, "Name not unique on network"),
        ERRNO(EBADFD, "File descriptor in bad state"),
        ERRNO(EREMCHG, "Remote address changed"),
        ERRNO(ELIBACC, "Can not access a needed shared library"),
        ERRNO(ELIBBAD, "Accessing a corrupted shared library"),
        ERRNO(ELIBSCN, ".lib section in a.out corrupted"),
        ERRNO(ELIBMAX, "Attempting to link in too many shared libraries"),
        ERRNO(ELIBEXEC, "Cannot exec a shared library directly"),
        ERRNO(EILSEQ, "Invalid or incomplete multibyte or wide character"),
        ERRNO(ERESTART, "Interrupted system call should be restarted"),
        ERRNO(ESTRPIPE, "Streams pipe error"),
        ERRNO(EUSERS, "Too many users"),
        ERRNO(ENOTSOCK, "Socket operation on non-socket"),
        ERRNO(EDESTADDRREQ, "Destination address required"),
        ERRNO(EMSGSIZE, "Message too long"),
        ERRNO(EPROTOTYPE, "Protocol wrong type for socket"),
        ERRNO(ENOPROTOOPT, "Protocol not available"),
        ERRNO(EPROTONOSUPPORT, "Protocol not supported"),
        ERRNO(ESOCKTNOSUPPORT, "Socket type not supported"),
        ERRNO(EOPNOTSUPP, "Operation not supported"),
        ERRNO(EPFNOSUPPORT, "Protocol family not supported"),
        ERRNO(EAFNOSUPPORT, "Address family not supported by protocol"),
        ERRNO(EADDRINUSE, "Address already in use"),
        ERRNO(EADDRNOTAVAIL, "Cannot assign requested address"),
        ERRNO(ENETDOWN, "Network is down"),
        ERRNO(ENETUNREACH, "Network is unreachable"),
        ERRNO(ENETRESET, "Network dropped connection on reset"),
        ERRNO(ECONNABORTED, "Software caused connection abort"),
        ERRNO(ECONNRESET, "Connection reset by peer"),
        ERRNO(ENOBUFS, "No buffer space available"),
        ERRNO(EISCONN, "Transport endpoint is already connected"),
        ERRNO(ENOTCONN, "Transport endpoint is not connected"),
        ERRNO(ESHUTDOWN, "Cannot send after transport endpoint shutdown"),
        ERRNO(ETOOMANYREFS, "Too many references: cannot splice"),
        ERRNO(ETIMEDOUT, "Connection timed out"),
        ERRNO(ECONNREFUSED, "Connection refused"),
        ERRNO(EHOSTDOWN, "Host is down"),
        ERRNO(EHOSTUNREACH, "No route to host"),
        ERRNO(EALREADY, "Operation already in progress"),
        ERRNO(EINPROGRESS, "Operation now in progress"),
        ERRNO(ESTALE, "Stale file handle"),
        ERRNO(EUCLEAN, "Structure needs cleaning"),
        ERRNO(ENOTNAM, "Not a XENIX named type file"),
        ERRNO(ENAVAIL, "No XENIX semaphores available"),
        ERRNO(EISNAM, "Is a named type file"),
        ERRNO(EREMOTEIO, "Remote I/O error"),
        ERRNO(EDQUOT, "Disk quota exceeded"),
        ERRNO(ENOMEDIUM, "No medium found"),
        ERRNO(EMEDIUMTYPE, "Wrong medium type"),
        ERRNO(ECANCELED, "Operation canceled"),
        ERRNO(ENOKEY, "Required key not available"),
        ERRNO(EKEYEXPIRED, "Key has expired"),
        ERRNO(EKEYREVOKED, "Key has been revoked"),
        ERRNO(EKEYREJECTED, "Key was rejected by service"),
        ERRNO(EOWNERDEAD, "Owner died"),
        ERRNO(ENOTRECOVERABLE, "State not recoverable"),
        ERRNO(ERFKILL, "Operation not possible due to RF-kill"),
        ERRNO(EHWPOISON, "Memory page has hardware error"),
#if EDEADLOCK != EDEADLK
        ERRNO(EDEADLOCK, "File locking deadlock error"),
#endif
};

static const struct code knit_codes[] = {
        KNIT(KNIT_ECANCELLED, "Task was cancelled"),
        KNIT(KNIT_EINVALIDSTATE, "No result yet, or already one"),
        KNIT(KNIT_ENOLOOP, "No loop runs in this thread"),
        KNIT(KNIT_ENOTASK, "Suspending call outside a task"),
        KNIT(KNIT_ERUNNING, "A loop is running already"),
        KNIT(KNIT_ECLOSED, "Loop is closed"),
        KNIT(KNIT_EWRONGTHREAD, "Object belongs to the loop of another thread"),
        KNIT(KNIT_EINCOMPLETE, "Stream ended inside a message"),
        KNIT(KNIT_EOVERRUN, "Separator not found within the limit"),
        KNIT(KNIT_EQEMPTY, "Queue is empty"),
        KNIT(KNIT_EQFULL, "Queue is full"),
        KNIT(KNIT_EQSHUTDOWN, "Queue is shut down"),
        KNIT(KNIT_EBROKENBARRIER, "Barrier is broken"),
        KNIT(KNIT_EGROUP, "Tasks of the group failed"),
        KNIT(KNIT_ESTOPPED, "Loop was stopped before the task was done"),
};

static const struct code eai_codes[] = {
        EAI(EAI_BADFLAGS, "Bad value for ai_flags"),
        EAI(EAI_NONAME, "Name or service not known"),
        EAI(EAI_AGAIN, "Temporary failure in name resolution"),
        EAI(EAI_FAIL, "Non-recoverable failure in name resolution"),
        EAI(EAI_FAMILY, "ai_family not supported"),
        EAI(EAI_SOCKTYPE, "ai_socktype not supported"),
        EAI(EAI_SERVICE, "Servname not supported for ai_socktype"),
        EAI(EAI_MEMORY, "Memory allocation failure"),
        EAI(EAI_SYSTEM, "System error"),
        EAI(EAI_OVERFLOW, "Result too large for supplied buffer"),
/* Not in every C library. */
#ifdef EAI_NODATA
        EAI(EAI_NODATA, "No address associated with hostname"),
        EAI(EAI_ADDRFAMILY, "Address family for hostname not supported"),
#endif
#ifdef EAI_INPROGRESS
        EAI(EAI_INPROGRESS, "Processing request in progress"),
        EAI(EAI_CANCELED, "Request canceled"),
        EAI(EAI_NOTCANCELED, "Request not canceled"),
        EAI(EAI_ALLDONE, "All requests done"),
        EAI(EAI_INTR, "Interrupted by a signal"),
        EAI(EAI_IDN_ENCODE, "Parameter string not correctly encoded"),
#endif
};

_Static_assert(KN_ARRAY_SIZE(errno_codes) <= KNIT_ECANCELLED, "errno's codes stay below knit's");
_Static_assert(KNIT_ECANCELLED + KN_ARRAY_SIZE(knit_codes) <= KNIT_EAI_BASE, "knit's fit");
_Static_assert(KNIT_EAI_BASE + KN_ARRAY_SIZE(eai_codes) <= KNIT_EAPPLICATION, "netdb's fit");

static const struct code *row(const struct code *table, size_t count, unsigned at)
{
	return at < count && table[at].name ? &table[at] : NULL;
}

/* The row of the positive @code, or NULL. */
static const struct code *find(unsigned code)
{
	if (code >= KNIT_EAI_BASE)
		return row(eai_codes, KN_ARRAY_SIZE(eai_codes), code - KNIT_EAI_BASE);
	if (code >= KNIT_ECANCELLED)
		return row(knit_codes, KN_ARRAY_SIZE(knit_codes), code - KNIT_ECANCELLED);
	return row(errno_codes, KN_ARRAY_SIZE(errno_codes), code);
}

/* In unsigned arithmetic, which has an absolute value for INT_MIN too. */
static unsigned absolute(int code)
{
	return code < 0 ? 0U - (unsigned)code : (unsigned)code;
}

const char *knit_strerror(int code)
{
	unsigned number = absolute(code);
	const struct code *found = find(number);

	if (found)
		return found->text;
	if (number >= KNIT_EAPPLICATION && number <= KNIT_ERRNO_MAX)
		return "Application error";
	return number ? "Unknown error" : "Success";
}

const char *knit_errname(int code)
{
	const struct code *found = find(absolute(code));

	return found ? found->name : "unknown";
}

bool knit_is_cancelled(intptr_t outcome)
{
	return outcome == -KNIT_ECANCELLED;
}
