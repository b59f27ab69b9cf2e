/* Calls as the asker does; false: no process will run the check. */
static bool called(struct share *share, size_t check, uint64_t seen,
		   uint64_t token)
{
	enum share_call call = share_call(share, check, seen, token);

	if (call == SHARE_CALL_MADE)
		share_tell(share);
	return call != SHARE_CALL_NOBODY;
}
