"""The admin portal: the site, its navigation, its dashboard."""
