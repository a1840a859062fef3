/* SPDX-License-Identifier: GPL-2.0-only */
/* Volatile bits, Accessed and Dirty, and access tracking where the processor sets neither. */

/* Renamed by 61d65f2dc766 ("KVM: x86/mmu: Don't force atomic update if only the...") in v6.15. */
#ifdef HAVE_spte_needs_atomic_update
SHIM(spte_has_volatile_bits, 1, 1) { out[0] = spte_needs_atomic_update(in[0]); }
#elif defined(HAVE_spte_has_volatile_bits)
SHIM(spte_has_volatile_bits, 1, 1) { out[0] = spte_has_volatile_bits(in[0]); }
#endif

#ifdef HAVE_spte_ad_enabled
SHIM(spte_ad_enabled, 1, 1) { out[0] = spte_ad_enabled(in[0]); }
#endif
#ifdef HAVE_spte_ad_need_write_protect
SHIM(spte_ad_need_write_protect, 1, 1) { out[0] = spte_ad_need_write_protect(in[0]); }
#endif
#ifdef HAVE_spte_shadow_accessed_mask
SHIM(spte_shadow_accessed_mask, 1, 1) { out[0] = spte_shadow_accessed_mask(in[0]); }
#endif
#ifdef HAVE_is_access_track_spte
SHIM(is_access_track_spte, 1, 1) { out[0] = is_access_track_spte(in[0]); }
#endif
#ifdef HAVE_is_accessed_spte
SHIM(is_accessed_spte, 1, 1) { out[0] = is_accessed_spte(in[0]); }
#endif
#ifdef HAVE_is_dirty_spte
SHIM(is_dirty_spte, 1, 1) { out[0] = is_dirty_spte(in[0]); }
#endif
#ifdef HAVE_mark_spte_for_access_track
SHIM(mark_spte_for_access_track, 1, 1) { out[0] = mark_spte_for_access_track(in[0]); }
#endif
#ifdef HAVE_restore_acc_track_spte
SHIM(restore_acc_track_spte, 1, 1) { out[0] = restore_acc_track_spte(in[0]); }
#endif
